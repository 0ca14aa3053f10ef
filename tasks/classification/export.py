"""``python -m tasks.classification.export --run RUN OUT.onnx``: the network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, logits (B, K) out.
"""

import sys
from dataclasses import dataclass

import torch

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.classification.checkpoints import classes_or_numbers
from tasks.classification.config import ScoredConfig
from tasks.classification.inference import open_model
from tasks.classification.labels import Classes
from tasks.classification.model import MEAN, STD, Classifier


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    classes = classes_or_numbers(found.weights, config.data.classes)
    export.save(graph(config, found.model, classes), target, found.weights)


def graph(config: ScoredConfig, model: Classifier, classes: Classes) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    side, filter_name = config.test.input_size, config.test.interpolation.upper()
    return Graph(
        module=deploy(model, portable=True),
        entry="images",
        results=("logits",),
        dynamic=export.PICTURES,
        examples=export.pictures((side, side), (side + 33, side + 18), (2 * side, side)),
        description={
            "task": "classification",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), RGB; evaluated at {side} x {side}, the middle of a "
            f"picture scaled to {side} / {config.test.crop} by Pillow's {filter_name}; normalised "
            f"inside the file by {MEAN} and {STD}",
            "logits": "(B, K); a softmax makes probabilities of them",
            "classes": list(classes.names),
            "titles": list(classes.titles),
        },
    )


if __name__ == "__main__":
    command.run(main)
