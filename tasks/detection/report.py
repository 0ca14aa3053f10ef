"""What an evaluation leaves behind: the result card, detections, scores of classes, pictures."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from common import outputs
from common.commands import card, plot
from common.commands.classes import tell_unscored, unscored
from common.commands.opened import Opened
from common.errors import UserError
from common.reading import image
from common.reading.orientation import Orientation
from common.reading.outlines import Outline
from tasks.detection.annotations import Annotations
from tasks.detection.config import ScoredConfig
from tasks.detection.draw import Drawn, draw_objects
from tasks.detection.metrics import Scores
from tasks.detection.model import DetectionModel
from tasks.detection.transforms import Size, View, draw

ROWS = 6
"""Pictures on the sheet that the command writes."""
SHOWN_SCORE = 0.5
"""Least score of a detection that is drawn there."""

_CELL = (260, 340)


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    scores: dict[str, Scores]
    """Of "box" and, for detectors with masks, "mask"."""
    results: list[dict[str, Any]]
    """All detections in COCO's result form; on rank 0."""
    skipped: int
    """Pictures that could not be read."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every statistic under names such as box_AP and mask_AP50."""
        return {
            f"{kind}_{name}": value
            for kind, scores in self.scores.items()
            for name, value in scores.metrics.items()
        }

    @property
    def curves(self) -> dict[str, float]:
        """The statistics that are worth a curve over the epochs of a training."""
        return {
            f"{kind}_{name}": scores.metrics[name]
            for kind, scores in self.scores.items()
            for name in ("AP", "AP50", "AP75")
        }


def write(
    config: ScoredConfig,
    evaluation: Evaluation,
    annotations: Annotations,
    model: Opened[DetectionModel],
) -> None:
    """Print the tables; write metrics.json, classes.json, detections.json and the pictures."""
    rows = class_rows(evaluation, annotations)
    print(annotations.summary())
    print(score_table(evaluation.scores))
    print(class_table(rows))
    tell_unscored(annotations.absent(), "object", annotations.file.name)
    one = result_card(config, evaluation, annotations, model)
    print("\n".join(one.table().splitlines()[2:]))  # the scores stand above
    with outputs.written(config.out):
        one.write(config.out / "metrics.json")
        outputs.write_text(config.out / "classes.json", json.dumps(rows, indent=1) + "\n")
        outputs.write_text(config.out / "detections.json", json.dumps(evaluation.results) + "\n")
        (config.out / "pictures").mkdir(exist_ok=True)
        sheet = config.out / "pictures" / "detections.jpg"
        write_sheet(sheet, evaluation, annotations, config.data.orientation)
    print(f"wrote {config.out}/metrics.json, classes.json, detections.json and pictures/")


def write_detections(
    config: ScoredConfig, evaluation: Evaluation, annotations: Annotations
) -> None:
    """Write detections.json of a split that has nothing to score by, and say so."""
    print(annotations.summary())
    with outputs.written(config.out):
        outputs.write_text(config.out / "detections.json", json.dumps(evaluation.results) + "\n")
    print(
        f"{annotations.file}: annotates no object, so there is nothing to score by; wrote "
        f"{len(evaluation.results):,} detections in COCO's result form to "
        f"{config.out}/detections.json"
    )


def _digest(names: Sequence[str]) -> str:
    """A few letters that tell one list of classes from another."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def _protocol(config: ScoredConfig, model: DetectionModel) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    masks = {"mask_threshold": test.mask_threshold} if config.model.masks else {}
    return {
        "scored_by": test.scorer,
        "short_side": data.test_short_side,
        "longest_side": data.longest_side,
        "resize": data.resize,
        "conventions": config.model.conventions,
        "score_threshold": test.score_threshold,
        "nms_threshold": test.nms_threshold,
        "detections": test.detections,
        **masks,
        "classes": len(data.classes),
        "class_names": _digest(data.classes),
        **({} if model.kept is None else {"of_classes": len(model.kept) - 1}),
    }


def result_card(
    config: ScoredConfig,
    evaluation: Evaluation,
    annotations: Annotations,
    model: Opened[DetectionModel],
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    scorer = ("hotcoco",) if config.test.scorer == "hotcoco" else ()
    return card.of(
        model,
        config,
        task="detection",
        metrics=evaluation.metrics,
        protocol=_protocol(config, model.model),
        data={
            "root": card.describe_root(config.data.root),
            "split": config.data.val_split,
            "images": len(annotations),
            "skipped": evaluation.skipped,
            "objects": int(np.count_nonzero(~annotations.crowd)),
            **unscored(annotations.absent(), len(annotations.categories)),
            "fingerprint": annotations.fingerprint,
        },
        packages=("torchvision", "numpy", "opencv-python", "pycocotools", *scorer),
        model={"detector": config.model.detector},
    )


def score_table(scores: dict[str, Scores]) -> str:
    """Statistics as text, a line for boxes and one for masks; "-" where no object decides."""
    names = list(next(iter(scores.values())).metrics)
    lines = ["      " + "".join(f"{name:>8}" for name in names)]
    for kind, one in scores.items():
        lines.append(f"{kind:6}" + "".join(f"{_number(one.metrics[name]):>8}" for name in names))
    return "\n".join(lines)


def class_rows(evaluation: Evaluation, annotations: Annotations) -> list[dict[str, Any]]:
    """Of each class its objects and its scores; None where the split has no object of it."""
    counted = annotations.labels[~annotations.crowd]
    counts = np.bincount(counted, minlength=len(annotations.categories) + 1)[1:]
    rows: list[dict[str, Any]] = []
    for category, count in zip(annotations.categories, counts.tolist(), strict=True):
        row: dict[str, Any] = {"class": category.name, "id": category.id, "objects": count}
        for kind, scores in evaluation.scores.items():
            for name, value in scores.classes[category.id].items():
                row[f"{kind}_{name}"] = None if value < 0 else value
        rows.append(row)
    return rows


def class_table(rows: Sequence[dict[str, Any]]) -> str:
    """The classes' scores as text, one class per line."""
    names = [name for name in rows[0] if name.endswith(("_AP", "_AP50", "_AP75"))]
    width = max(5, *(len(row["class"]) for row in rows))
    lines = [f"{'class':{width}}  objects" + "".join(f"{name:>11}" for name in names)]
    for row in rows:
        cells = "".join(f"{_number(row[name]):>11}" for name in names)
        lines.append(f"{row['class']:{width}}  {row['objects']:>7}{cells}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{value:.4f}"


def write_sheet(
    path: Path,
    evaluation: Evaluation,
    annotations: Annotations,
    orientation: Orientation | None,
) -> None:
    """Write pictures with what is annotated next to what was found."""
    labels = {category.id: label for label, category in enumerate(annotations.categories, 1)}
    cells: list[NDArray[np.uint8]] = []
    titles: list[str] = []
    for row in plot.spread(len(annotations), ROWS):
        file = annotations.images[row]
        try:
            picture = image.read(file, orientation=orientation)
        except UserError:
            continue  # it was skipped and counted
        found = [
            one
            for one in evaluation.results
            if one["image_id"] == annotations.image_ids[row] and one["score"] >= SHOWN_SCORE
        ]
        drawn = [
            drawn_result(one, labels[one["category_id"]], annotations.classes) for one in found
        ]
        cells += [
            draw_objects(picture, annotated(annotations, row)), draw_objects(picture, drawn)
        ]  # fmt: skip
        titles += [f"{file.stem}: annotated", f"found, score from {SHOWN_SCORE}"]
    if cells:
        plot.sheet(cells, path, 4, titles, _CELL)


def drawn_result(result: dict[str, Any], label: int, classes: Sequence[str]) -> Drawn:
    """A detection in COCO's result form as it is drawn."""
    left, top, width, height = result["bbox"]
    text = f"{classes[label - 1]} {result['score']:.2f}"
    return Drawn((left, top, left + width, top + height), label, text, result.get("segmentation"))


def annotated(annotations: Annotations, row: int) -> list[Drawn]:
    """The objects of a picture as they are drawn, the smallest on top."""
    objects, size = annotations.objects(row), annotations.sizes[row]
    drawn = []
    for place in np.argsort(objects.areas, kind="stable"):
        label = int(objects.labels[place])
        outline = objects.outlines[place]
        name = annotations.classes[label - 1] + (" (crowd)" if objects.crowd[place] else "")
        mask = None if outline is None else _mask(outline, (int(size[0]), int(size[1])))
        drawn.append(Drawn(objects.boxes[place].tolist(), label, name, mask))
    return drawn


def _mask(outline: Outline, size: Size) -> dict[str, Any]:
    """Run lengths of an outline in a picture of this size."""
    mask = draw([outline], View(size, size))[0]
    return dict(rle.encode(np.asfortranarray(mask)))
