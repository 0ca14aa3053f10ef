"""``python -m tasks.segmentation.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, logits (B, K, H, W) out; the class is the largest of a pixel.
"""

import sys
from dataclasses import dataclass

import torch
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from common.networks.segmentation import SegmentationModel
from tasks.segmentation.config import ScoredConfig
from tasks.segmentation.data import with_classes
from tasks.segmentation.inference import open_model
from tasks.segmentation.model import MEAN, STD


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = with_classes(trained.parse(ExportConfig, sys.argv[1:], positional="file"))
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


class Logits(nn.Module):
    """Pictures in, the decoder's logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W) of pictures (B, 3, H, W)."""
        logits: Tensor = self.model(images).main
        return logits


class PyramidLevel(nn.Module):
    """A level of PSPNet's pyramid as PyTorch runs it.

    The library's own takes another way while it is exported, which is wrong for other sizes than
    the traced one.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Means of cells of features (B, C, H, W), spread over them: (B, c, H, W)."""
        return F.interpolate(self.pool(x), x.shape[2:], mode="bilinear", align_corners=True)


def exportable(model: nn.Module) -> nn.Module:
    """The model with levels of a pyramid that can be exported, changed in place."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, PSPBlock):
                setattr(parent, name, PyramidLevel(child.pool))
    return model


def graph(config: ScoredConfig, model: SegmentationModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    test = config.test
    size = f"a short side of {test.short_side}" if test.short_side else "their own size"
    windows = f", in windows of {test.window}" if test.window else ""
    return Graph(
        module=Logits(exportable(deploy(model, portable=True))),
        entry="images",
        results=("logits",),
        dynamic=export.PICTURES,
        examples=export.pictures((160, 192), (97, 130), (256, 129)),
        description={
            "task": "segmentation",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), RGB, of any size, scored at {size}{windows}; "
            f"normalised inside the file by {MEAN} and {STD}",
            "logits": "(B, K, H, W), one map per class",
            "classes": list(config.data.classes),
        },
    )


if __name__ == "__main__":
    command.run(main)
