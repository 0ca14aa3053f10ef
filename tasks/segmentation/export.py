"""``python -m tasks.segmentation.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, logits (B, K, H, W) out; the class is the largest of a pixel.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import WeightsError, deploy
from common import command, export, trained
from common.export import ExportFlags, Graph
from tasks.segmentation.evaluate import with_classes
from tasks.segmentation.inference import TestedConfig, restore
from tasks.segmentation.model import MEAN, STD, SegmentationModel, from_published


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, TestedConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    config = with_classes(config)
    weights = trained.find(config, from_published)
    model = restore(config, weights, torch.device("cpu"))
    export.save(graph(config, model), target, weights)


class Logits(nn.Module):
    """Pictures in, the decoder's logits out."""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W) of pictures (B, 3, H, W)."""
        logits: Tensor = self.model(images).main
        return logits


def graph(config: TestedConfig, model: SegmentationModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    return Graph(
        module=Logits(deploy(model, portable=True)),
        entry="images",
        results=("logits",),
        dynamic=(0, 2, 3),
        examples=export.pictures((160, 192), (97, 130), (256, 129)),
        description={
            "task": "segmentation",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), RGB, of any size, trained at a short side of "
            f"{config.test.short_side}; normalised inside the file by {MEAN} and {STD}",
            "logits": "(B, K, H, W), one map a class",
            "classes": list(config.data.classes),
        },
    )


if __name__ == "__main__":
    command.run(main, WeightsError)
