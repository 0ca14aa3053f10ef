"""What an evaluation leaves behind: the result card, maps, scores of classes, pictures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.classes import tell_unscored, unscored
from common.commands.opened import Opened
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from tasks.detection.metrics import Scores
from tasks.panoptic.annotations import Split
from tasks.panoptic.config import ScoredConfig
from tasks.panoptic.draw import draw_segments
from tasks.panoptic.form import categories_of, segments_info
from tasks.panoptic.fusion import Map, Part
from tasks.panoptic.maps import write_ids
from tasks.panoptic.metrics import NAMES, Tally, class_scores
from tasks.panoptic.model import PanopticModel

ROWS = 6
"""Pictures on the sheet that the command writes."""
FOLDER = "panoptic"
"""Folder of the maps, beside `panoptic.json`."""
MODEL = ""
"""Name of the model's own scores beside those of the guesses."""

_AP = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_CELL = (260, 340)


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    quality: dict[str, float]
    """PQ and its kin."""
    tally: Tally
    """What was right, wrong and missed of each class."""
    detection: dict[str, Scores]
    """Of "box" and "mask"; empty where no thing is annotated."""
    semantic: dict[str, float]
    """mIoU and accuracies of the semantic head alone, things being one class."""
    baselines: dict[str, dict[str, float]]
    """PQ and its kin of guesses that do not look at the picture."""
    segments: dict[int, list[Part]]
    """What was found, by index of the picture."""
    drawn: dict[int, Map]
    """The maps of some pictures, by index."""
    skipped: int
    """Pictures that could not be read."""

    @property
    def metrics(self) -> dict[str, float]:
        """All scores: PQ first, and beside it those of the two branches."""
        average = {
            f"{kind}_{name}": scores.metrics[name]
            for kind, scores in self.detection.items()
            for name in _AP
        }
        return {**self.quality, **average, **self.semantic}

    @property
    def curves(self) -> dict[str, float]:
        """The scores that are worth a curve over the epochs of a training."""
        names = (*NAMES[:5], "box_AP", "mask_AP", "mIoU")
        return {name: self.metrics[name] for name in names if name in self.metrics}


def write(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[PanopticModel]
) -> None:
    """Print the tables; write metrics.json, classes.json, panoptic.json and the pictures."""
    rows, one = class_rows(evaluation, split), result_card(config, evaluation, split, model)
    print(split.summary())
    print(table(evaluation))
    print(class_table(rows))
    tell_unscored(split.absent(), "segment", split.file.name)
    print("\n".join(one.table().splitlines()[2:]))  # the scores stand above
    with outputs.written(config.out):
        beside = {**one.data, "baselines": evaluation.baselines}
        replace(one, data=beside).write(config.out / "metrics.json")
        outputs.write_text(config.out / "classes.json", json.dumps(rows, indent=1) + "\n")
        content = coco_form(evaluation, split)
        outputs.write_text(config.out / "panoptic.json", json.dumps(content) + "\n")
        (config.out / "pictures").mkdir(exist_ok=True)
        write_sheet(config, evaluation, split)
    print(f"wrote {config.out}/metrics.json, classes.json, panoptic.json, {FOLDER}/ and pictures/")


def write_map(out: Path, split: Split, index: int, ids: NDArray[np.integer]) -> None:
    """Write a picture's map under its name into the folder of maps."""
    file = out / FOLDER / map_name(split, index)
    with outputs.written(file.parent):
        write_ids(file, ids)


def map_name(split: Split, index: int) -> str:
    """The name of a picture's map, as in the annotation file."""
    return str(split.maps[index].relative_to(split.map_folder))


def table(evaluation: Evaluation) -> str:
    """The scores for people: all, things and stuff, of the model and of the guesses."""
    named = {"this model": evaluation.quality, **evaluation.baselines}
    wide = max(len(name) for name in named)
    lines = [f"{'':{wide}}" + "".join(f"{name:>11}" for name in NAMES)]
    for name, quality in named.items():
        lines.append(f"{name:{wide}}" + "".join(f"{_number(quality[one]):>11}" for one in NAMES))
    beside = {name: value for name, value in evaluation.metrics.items() if name not in NAMES}
    lines.append("  ".join(f"{name} {_number(value)}" for name, value in beside.items()))
    return "\n".join(lines)


def class_rows(evaluation: Evaluation, split: Split) -> list[dict[str, Any]]:
    """Of each class its counts and scores; None where nothing decides them."""
    tally, quality = evaluation.tally, class_scores(evaluation.tally)
    rows: list[dict[str, Any]] = []
    for place, category in enumerate(split.categories):
        row: dict[str, Any] = {
            "class": category.name,
            "id": category.id,
            "kind": "thing" if category.thing else "stuff",
            "found": int(tally.found[place]),
            "wrong": int(tally.wrong[place]),
            "missed": int(tally.missed[place]),
        }
        for name, values in quality.items():
            row[name] = None if np.isnan(values[place]) else float(values[place])
        for kind, scores in evaluation.detection.items():
            value = scores.classes.get(category.id, {}).get("AP", -1.0)
            row[f"{kind}_AP"] = None if value < 0 else value
        rows.append(row)
    return rows


def class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The classes' scores as text, one class per line."""
    width = max(5, *(len(row["class"]) for row in rows))
    names = [name for name in rows[0] if name not in ("class", "id", "kind")]
    lines = [f"{'class':{width}}  kind " + "".join(f"{name:>9}" for name in names)]
    for row in rows:
        cells = "".join(
            f"{row[name]:>9}" if isinstance(row[name], int) else f"{_number(row[name]):>9}"
            for name in names
        )
        lines.append(f"{row['class']:{width}}  {row['kind']}{cells}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None or value == card.UNDECIDED else f"{value:.4f}"


def protocol(config: ScoredConfig) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    names = "\n".join((*data.things, "", *data.stuff))
    return {
        "thing_score": test.thing_score,
        "overlap": test.overlap,
        "stuff_area": test.stuff_area,
        "areas": "of the truth as its file states them",
        "things_scored_by": "instances file" if data.instances else "PNG",
        "short_side": data.test_short_side,
        "longest_side": data.longest_side,
        "resize": data.resize,
        "conventions": config.model.conventions,
        "score_threshold": test.score_threshold,
        "nms_threshold": test.nms_threshold,
        "detections": test.detections,
        "mask_threshold": test.mask_threshold,
        "AP_by": test.scorer,
        "classes": f"{len(data.things)} things, {len(data.stuff)} stuff",
        "class_names": hashlib.sha256(names.encode()).hexdigest()[:8],
    }


def result_card(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[PanopticModel]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    scorer = ("hotcoco",) if config.test.scorer == "hotcoco" else ()
    return card.of(
        model,
        config,
        task="panoptic",
        metrics=evaluation.metrics,
        protocol=protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": config.data.val_split,
            "images": len(evaluation.segments),
            "skipped": evaluation.skipped,
            "segments": int(np.count_nonzero(split.segments.labels)),
            **unscored(split.absent(), len(split.categories)),
            "fingerprint": split.fingerprint,
        },
        packages=("torchvision", "numpy", "opencv-python", "pycocotools", *scorer),
        model={"detector": config.model.detector},
    )


def coco_form(evaluation: Evaluation, split: Split) -> dict[str, Any]:
    """What was found in COCO's panoptic form, for its evaluator; the PNG files lie in FOLDER."""
    return {
        "images": [
            {
                "id": split.image_ids[index],
                "file_name": split.images[index].name,
                "height": int(split.sizes[index][0]),
                "width": int(split.sizes[index][1]),
            }
            for index in evaluation.segments
        ],
        "annotations": [
            {
                "image_id": split.image_ids[index],
                "file_name": map_name(split, index),
                "segments_info": segments_info(segments, split.categories),
            }
            for index, segments in evaluation.segments.items()
        ],
        "categories": categories_of(split.categories),
    }


def write_sheet(config: ScoredConfig, evaluation: Evaluation, split: Split) -> None:
    """Write pictures with what is annotated next to what was found."""
    cells: list[Picture] = []
    titles: list[str] = []
    for index, ids in sorted(evaluation.drawn.items()):
        try:
            picture = image.read(split.images[index], orientation=config.data.orientation)
            known = annotated(split, index, picture)
        except UserError:
            continue  # it was skipped and counted
        labels = {one.number: one.label for one in evaluation.segments[index]}
        texts = {number: split.classes[label - 1] for number, label in labels.items()}
        cells += [picture, known, draw_segments(picture, ids, labels, texts)]
        titles += [split.images[index].stem, "annotated", "found"]
    if cells:
        plot.sheet(cells, config.out / "pictures" / "panoptic.jpg", 3, titles, _CELL)


def annotated(split: Split, index: int, picture: Picture) -> Picture:
    """A picture with what is annotated in it.

    Raises:
        DamagedFile: the PNG cannot be read, or is not what the annotation file says.
    """
    segments = split.of(index)
    labels = {row + 1: int(label) for row, label in enumerate(segments.labels) if label}
    texts = {
        number: split.classes[label - 1] + (" (crowd)" if segments.crowd[number - 1] else "")
        for number, label in labels.items()
    }
    return draw_segments(picture, split.places(index), labels, texts)
