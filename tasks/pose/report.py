"""What an evaluation leaves behind: the result card, COCO's result file and pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.reading import image
from tasks.pose.annotations import Annotations
from tasks.pose.config import Config, ScoredConfig
from tasks.pose.draw import draw_people
from tasks.pose.model import PoseModel

PICTURES = 12
"""Pictures on the sheet that the command writes."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation. Only rank 0 has the results."""

    metrics: dict[str, float]
    results: list[dict[str, Any]]
    """Persons in COCO's result form, after rescoring and suppression."""
    boxes: int
    """Boxes that were to be estimated."""
    skipped: int
    """Boxes that were not, because their pictures cannot be read."""
    box_source: str
    """"ground truth" or the name of the detector's file."""
    box_fingerprint: str | None
    """sha256 of the detector's file."""


def write(
    config: ScoredConfig,
    evaluation: Evaluation,
    annotations: Annotations,
    model: Opened[PoseModel],
) -> None:
    """Print the table; write metrics.json, the COCO result file and the pictures."""
    one = result_card(config, evaluation, annotations, model)
    print(annotations.summary())
    print(one.table())
    with outputs.written(config.out):
        one.write(config.out / "metrics.json")
        results = _results_file(config)
        outputs.write_text(results, json.dumps(evaluation.results))
        write_pictures(config.out / "pictures", evaluation.results, annotations, config)
    print(f"wrote {config.out}/metrics.json, {results.name} and pictures/")


def write_results(config: ScoredConfig, evaluation: Evaluation, annotations: Annotations) -> None:
    """Write the COCO result file of a split that has nothing to score by, and say so."""
    print(annotations.summary())
    results = _results_file(config)
    with outputs.written(config.out):
        outputs.write_text(results, json.dumps(evaluation.results))
    print(
        f"{annotations.file}: annotates no person, so there is nothing to score by; wrote "
        f"{len(evaluation.results):,} persons in COCO's result form to {results}"
    )


def _results_file(config: ScoredConfig) -> Path:
    return config.out / f"keypoints_{config.data.val_split}_results.json"


def _protocol(config: ScoredConfig, evaluation: Evaluation) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    suppression: dict[str, Any] = {"nms": test.nms}
    if test.nms != "none":
        suppression["nms_threshold"] = test.nms_threshold
    if data.boxes is not None:
        suppression |= {
            "box_threshold": data.box_threshold,
            "box_fingerprint": evaluation.box_fingerprint,
        }
    return {
        "boxes": evaluation.box_source,
        "flip_test": test.flip,
        "flip_shift": test.flip and test.shift and not data.unbiased,
        "input_size": list(data.input_size),
        "padding": data.padding,
        "colour": data.colour,
        "coding": data.coding,
        **({"sigma": data.sigma} if data.unbiased else {}),
        "joint_threshold": test.joint_threshold,
        **(suppression if data.format != "mpii" else {}),
    }


def result_card(
    config: ScoredConfig,
    evaluation: Evaluation,
    annotations: Annotations,
    model: Opened[PoseModel],
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    return card.of(
        model,
        config,
        task="pose",
        metrics=evaluation.metrics,
        protocol=_protocol(config, evaluation),
        data={
            "root": card.describe_root(config.data.root),
            "split": config.data.val_split,
            "images": len(annotations.images),
            "boxes": evaluation.boxes,
            "skipped": evaluation.skipped,
            "fingerprint": annotations.fingerprint,
        },
        packages=("numpy", "opencv-python", "pycocotools"),
    )


def write_pictures(
    folder: Path, results: Sequence[dict[str, Any]], annotations: Annotations, config: Config
) -> None:
    """Write a sheet of pictures, spread evenly over the split, with the persons found in them."""
    people: dict[int, list[NDArray[np.float64]]] = {}
    for result in results:
        joints = np.array(result["keypoints"]).reshape(-1, 3)
        people.setdefault(result["image_id"], []).append(joints)
    numbers = sorted(people)
    chosen = [numbers[place * len(numbers) // PICTURES] for place in range(PICTURES)]
    pictures, titles = [], []
    for number in dict.fromkeys(chosen if len(numbers) > PICTURES else numbers):
        path = annotations.images[number]
        picture = image.read(path, orientation=config.data.orientation)
        joints = np.stack(people[number])
        pictures.append(
            draw_people(picture, joints, annotations.skeleton, config.test.joint_threshold)
        )
        titles.append(path.name)
    if pictures:
        folder.mkdir(parents=True, exist_ok=True)
        plot.sheet(pictures, folder / "predictions.jpg", 4, titles, cell=(320, 320))
