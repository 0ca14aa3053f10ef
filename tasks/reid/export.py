"""``python -m tasks.reid.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of persons in, features (B, C) out, as evaluate compares them but for mirroring.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.reid.config import Config, ScoredConfig, ScoringConfig
from tasks.reid.inference import open_model
from tasks.reid.model import MEAN, STD, ReidModel
from tasks.reid.retrieval import unit


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


class Embedder(nn.Module):
    """Pictures in, the features that are compared out."""

    def __init__(self, model: ReidModel, test: ScoringConfig) -> None:
        super().__init__()
        self.model = model
        self.after, self.normalize = test.feature == "after", test.normalize

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, C) of pictures (B, 3, H, W)."""
        found = self.model(images)
        features: Tensor = found.after if self.after else found.before
        return unit(features) if self.normalize else features


def graph(config: Config, model: ReidModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    height, width = config.data.input_size
    return Graph(
        module=Embedder(deploy(model, portable=True), config.test),
        entry="images",
        results=("features",),
        dynamic=export.PICTURES,
        examples=export.pictures((height, width), (height + 64, width), (height, width + 32)),
        description={
            "task": "reid",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), RGB, one person a picture, scaled to {height} x {width}"
            f"; normalised inside the file by {MEAN} and {STD}",
            "resize": "bilinear, averaging where it shrinks (Pillow's BILINEAR, torch's antialias)",
            "features": f"(B, C), {config.test.feature} the bottleneck"
            + (", of length 1" if config.test.normalize else ""),
            "mirrored": _mirrored(config.test),
            "distance": "squared Euclidean" + _afterwards(config.test),
        },
    )


def _mirrored(test: ScoringConfig) -> str:
    if not test.flip:
        return "nothing"
    again = ", then brought to length 1" if test.normalize else ""
    return f"a picture's features are the mean of its own and its mirror image's{again}"


def _afterwards(test: ScoringConfig) -> str:
    """What evaluate does to queries or distances besides."""
    parts = [f"query expansion by {test.expansion}"] if test.expansion else []
    parts += ["k-reciprocal re-ranking"] if test.rerank else []
    return f"; evaluate adds {' and '.join(parts)}" if parts else ""


if __name__ == "__main__":
    command.run(main)
