"""``python -m tasks.interactive.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Pictures with maps of clicks (B, 6, H, W) in, logits of masks (B, 1, H, W) out.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.interactive.clicks import FARTHEST
from tasks.interactive.config import ScoredConfig
from tasks.interactive.inference import open_model
from tasks.interactive.model import InteractiveModel


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
    """Pictures with maps of clicks in, logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of inputs (B, 6, H, W)."""
        mask: Tensor = self.model(inputs).mask
        return mask


def clicked(*sizes: tuple[int, int]) -> list[Tensor]:
    """Random pictures of the given heights and widths, each with a click of either kind."""
    found = []
    for images in export.pictures(*sizes):
        batch, _, height, width = images.shape
        rows, columns = torch.meshgrid(
            torch.arange(float(height)), torch.arange(float(width)), indexing="ij"
        )
        near = ((rows - height / 2) ** 2 + (columns - width / 2) ** 2).sqrt().clamp(max=FARTHEST)
        far = ((rows - 3) ** 2 + (columns - 5) ** 2).sqrt().clamp(max=FARTHEST)
        third = (near / FARTHEST).expand(batch, 1, height, width)
        hints = torch.stack([near, far]).expand(batch, 2, height, width)
        found.append(torch.cat([images.float(), hints, third], dim=1))
    return found


def graph(config: ScoredConfig, model: InteractiveModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    side = config.data.short_side
    size = f"a short side of {side}" if side else "their own size"
    third = (
        "the previous mask, 0 to 1, and 0 where there is none"
        if model.late
        else f"the same from the first click, and {FARTHEST:g} where there is none"
    )
    return Graph(
        module=Whole(deploy(model, portable=True)),
        entry="inputs",
        results=("logits",),
        dynamic=export.PICTURES,
        examples=clicked((160, 192), (97, 130), (256, 129)),
        description={
            "task": "interactive",
            "backbone": config.backbone,
            "network": config.model.network,
            "inputs": "floats (B, 6, H, W) of any size: red, green and blue from 0 to 255 of "
            f"pictures, scored at {size}; pixels from the nearest positive and from the nearest "
            f"negative click, at most {FARTHEST:g}, and this where there is none; {third}",
            "logits": "(B, 1, H, W); above 0 is the object, at a threshold of 0.5",
        },
    )


if __name__ == "__main__":
    command.run(main)
