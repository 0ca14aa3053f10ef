"""``python -m tasks.volumes.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, C, H, W) of neighbouring slices in, probabilities (B, classes, H, W) of the middle one
out.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from common.networks.segmentation import SegmentationModel
from tasks.volumes.config import ScoredConfig
from tasks.volumes.inference import open_model
from tasks.volumes.nifti import RESEARCH


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
    """Slices in, probabilities of the middle one out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, slices: Tensor) -> Tensor:
        """Probabilities (B, classes, H, W) of stacks (B, C, H, W)."""
        logits: Tensor = self.model(slices).main
        return logits.softmax(1)


def graph(config: ScoredConfig, model: SegmentationModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data, channels = config.data, config.data.channels
    windows = ", ".join(f"{low:g} to {high:g}" for low, high in data.windows)
    apart = f"{data.slice_distance:g} mm apart" if data.slice_distance else "next to each other"
    spacing = " x ".join(f"{one:g}" if one else "own" for one in data.spacing)
    return Graph(
        module=Whole(deploy(model, portable=True)),
        entry="slices",
        results=("probabilities",),
        dynamic=export.PICTURES,
        examples=export.pictures((96, 96), (65, 130), (160, 129), channels=channels),
        description={
            "task": "volumes",
            "backbone": config.backbone,
            "classes": list(data.classes),
            "slices": f"bytes (B, {channels}, H, W): for each window of HU ({windows}; 0 at its "
            f"lower end, 255 at its upper one) {data.slices} slices {apart}, from the lowest to "
            "the highest; rows from front to back, columns from the patient's right to left; "
            f"spacing {spacing} mm between slices, rows and columns; normalised inside the file",
            "probabilities": f"(B, {len(data.classes)}, H, W) of the middle slice",
            "use": RESEARCH,
        },
    )


if __name__ == "__main__":
    command.run(main)
