"""``python -m tasks.detection.export --run RUN OUT.onnx``: the trained detector as an ONNX file.

Bytes (B, 3, H, W) of pictures in; boxes, scores, labels and masks of each picture's best objects
out, with all of the suppression inside the file.
"""

import sys
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment

from backbone import deploy
from common import outputs
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph, Outputs
from common.errors import UserError
from common.reading.image import Colour
from tasks.detection.batched import BatchedDetector
from tasks.detection.config import ModelConfig, PicturesConfig, ScoredConfig, ScoringConfig
from tasks.detection.inference import open_named
from tasks.detection.model import MEAN, STD, DetectionModel
from tasks.detection.suppression import TRANSLATIONS
from tasks.detection.transforms import RESIZED

SIZES = ((160, 192), (97, 130), (256, 129))
"""Height and width of the pictures that a file is checked with."""
VARIED = {"score_threshold": torch.tensor(0.0)}
"""A trained network may find nothing in noise; at any score there is something to compare."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    export.require_packages()
    outputs.make_folder(target.parent)
    named, found = open_named(config, torch.device("cpu"))
    if found.model.kept is not None:
        raise UserError(
            "--data.classes: an exported detector finds all classes that it was trained on, in "
            "their order; leave the flag out"
        )
    export.save(graph(named, found.model), target, found.weights)


def graph(config: ScoredConfig, model: DetectionModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data, test = config.data, config.test
    results = results_of(config.model, test)
    return Graph(
        module=BatchedDetector(deploy(model, portable=True), test),
        entry="images",
        results=tuple(results),
        dynamic=export.PICTURES,
        examples=export.pictures(*SIZES),
        description={
            "task": "detection",
            "backbone": config.backbone,
            "detector": config.model.detector,
            "conventions": config.model.conventions,
            "images": pictures_of(data, data.colour),
            **results,
            "nms_threshold": test.nms_threshold,
            "classes": list(data.classes),
        },
        translations=TRANSLATIONS,
        align=aligned,
        varied=VARIED,
    )


def results_of(model: ModelConfig, test: ScoringConfig) -> dict[str, str]:
    """The outputs of an exported detector, and what they are."""
    kept = f"(B, {test.detections}"
    masks = {
        "masks": f"{kept}, 28, 28), probabilities within the box; in the picture each is stretched "
        f"over its box, whose corners may lie within pixels, and cut at {test.mask_threshold}; "
        f"a pixel lies at its {'centre' if model.rules.aligned else 'number'}"
    }
    return {
        "boxes": f"{kept}, 4), left, top, right, bottom in pixels of the pictures",
        "scores": f"{kept}), falling, above {test.score_threshold}; 0 where nothing was found",
        "labels": f"{kept}), from 1 on, in the order of the classes; 0 where nothing was found",
        **(masks if model.masks else {}),
    }


def pictures_of(data: PicturesConfig, colour: Colour = "RGB") -> str:
    """What an exported detector takes."""
    most = f", the long one at most {data.longest_side}" if data.longest_side else ""
    return (
        f"bytes (B, 3, H, W), {colour}, of any size, tested at a short side of "
        f"{data.test_short_side}{most}, rounded; resized "
        f"by {RESIZED[data.resize]}; normalised inside the file by {MEAN} and {STD}"
    )


def aligned(found: Outputs, expected: Outputs) -> Outputs:
    """Detections in the order of others: scores that differ by rounding may change places.

    Args:
        found: boxes (B, D, 4), scores (B, D), labels (B, D) and whatever else is (B, D, ...).
        expected: the same of another runtime.
    """
    boxes, scores, labels = found[:3]
    others, other_scores, other_labels = expected[:3]
    apart = (boxes[:, None] - others[:, :, None]).abs().amax(dim=-1)
    apart += (scores[:, None] - other_scores[:, :, None]).abs()
    apart += 1e6 * (labels[:, None] != other_labels[:, :, None])
    costs = apart.nan_to_num(1e6)  # NaN is no assignment's cost; the difference shows it
    order = torch.stack([torch.from_numpy(linear_sum_assignment(one)[1]) for one in costs])
    picture = torch.arange(len(order))[:, None]
    return tuple(one[picture, order] for one in found)


if __name__ == "__main__":
    command.run(main)
