"""``python -m tasks.panoptic.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in; boxes, scores, labels and masks of each picture's best things and
the logits of the semantic head out. The card says how these become one map.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common import outputs
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph, Outputs
from tasks.detection import export as detection
from tasks.detection.batched import BatchedDetector
from tasks.detection.suppression import TRANSLATIONS
from tasks.panoptic.config import ScoredConfig, ScoringConfig
from tasks.panoptic.inference import open_model
from tasks.panoptic.model import SEMANTIC, PanopticModel


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    export.require_packages()
    outputs.make_folder(target.parent)
    named, found = open_model(config, torch.device("cpu"))
    export.save(graph(named, found.model), target, found.weights)


class Raw(nn.Module):
    """Pictures in, things and logits out."""

    def __init__(self, model: PanopticModel, test: ScoringConfig) -> None:
        super().__init__()
        self.things = BatchedDetector(model, test)
        self.semantic = model.semantic

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """What a `BatchedDetector` gives of pictures (B, 3, H, W), and logits (B, C, h, w)."""
        x, levels = self.things.levels(images)
        return *self.things.detected(x, levels, images.shape[-2:]), self.semantic(levels)


def graph(config: ScoredConfig, model: PanopticModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data = config.data
    things = detection.results_of(config.model, config.test)
    logits = (
        f"(B, {len(data.stuff) + 1}, H / 4, W / 4), H and W rounded up to multiples of 32: one for "
        "all things, then the stuff"
    )
    return Graph(
        module=Raw(deploy(model, portable=True), config.test),
        entry="images",
        results=(*things, SEMANTIC),
        dynamic=export.PICTURES,
        examples=export.pictures(*detection.SIZES),
        description={
            "task": "panoptic",
            "backbone": config.backbone,
            "detector": config.model.detector,
            "conventions": config.model.conventions,
            "images": detection.pictures_of(data),
            **things,
            SEMANTIC: logits,
            "combination": combination(config),
            "nms_threshold": config.test.nms_threshold,
            "things": list(data.things),
            "stuff": list(data.stuff),
        },
        translations=TRANSLATIONS,
        align=aligned,
        varied={f"things.{name}": value for name, value in detection.VARIED.items()},
    )


def combination(config: ScoredConfig) -> list[str]:
    """How the outputs become one map, step by step."""
    test = config.test
    return [
        "enlarge the logits by 4, bilinearly without aligned corners, cut them to the pictures, "
        "resize them to the size that is wanted, and take the largest of each pixel",
        f"take the things by falling score, down to {test.thing_score}; draw each mask into the "
        "picture",
        f"leave a thing out if more than {test.overlap} of its pixels are taken; otherwise it gets "
        "those that are free",
        f"give each class of stuff its free pixels, if these are {test.stuff_area} or more; what "
        "is left has no segment",
    ]


def aligned(found: Outputs, expected: Outputs) -> Outputs:
    """Things in the order of others, as `detection.export.aligned`; logits have one order."""
    return *detection.aligned(found[:-1], expected[:-1]), found[-1]


if __name__ == "__main__":
    command.run(main)
