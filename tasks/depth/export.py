"""``python -m tasks.depth.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, depth (B, 1, H, W) out.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.depth.config import ScoredConfig
from tasks.depth.inference import open_model
from tasks.depth.model import MEAN, STD, DepthModel


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


class Whole(nn.Module):
    """Pictures in, depth in their size out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Depth (B, 1, H, W) of pictures (B, 3, H, W)."""
        depth: Tensor = self.model(images)
        return F.interpolate(depth, images.shape[-2:], mode="bilinear", align_corners=False)


def graph(config: ScoredConfig, model: DepthModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    side, reference = config.data.short_side, config.model.focal_reference
    size = f"a short side of {side}" if side else "their own size"
    camera = f"; multiply by focal length in pixels / {reference:g}" if reference else ""
    kind = "inverse depth of no scale, larger where it is nearer"
    if config.metric:
        kind = "metres along the optical axis, as seen by a camera like that of the training"
    return Graph(
        module=Whole(deploy(model, portable=True)),
        entry="images",
        results=("depth",),
        dynamic=export.PICTURES,
        examples=export.pictures((160, 192), (97, 130), (256, 129)),
        description={
            "task": "depth",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), RGB, of any size, scored at {size}; normalised inside "
            f"the file by {MEAN} and {STD}",
            "depth": f"(B, 1, H, W), {kind}{camera}",
        },
    )


if __name__ == "__main__":
    command.run(main)
