"""COCO's scores of boxes and masks: pure functions of what is annotated and what was found."""

import contextlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.errors import UserError

Kind = Literal["bbox", "segm"]
"""What is compared: boxes or masks."""
Scorer = Literal["pycocotools", "hotcoco"]

STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR", "ARs", "ARm", "ARl")
"""COCO's twelve, in its order: average precision over overlaps of 0.5 to 0.95, at 0.5, at 0.75, of
small, medium and large objects, and average recall of the best 1, 10 and 100 detections of a
picture and by size."""

_ALL_SIZES, _BEST_100 = 0, 2
"""Places in the axes of sizes and of detections a picture."""


class Scores(NamedTuple):
    """What COCO's evaluation says."""

    metrics: dict[str, float]
    """The twelve statistics, 0 to 1, over all classes; -1 where there is no such object."""
    classes: dict[int, dict[str, float]]
    """AP, AP50, AP75 and AR of each category; -1 for one without an object."""


def coco_scores(
    truth: dict[str, Any],
    results: Sequence[dict[str, Any]],
    kind: Kind,
    scorer: Scorer = "pycocotools",
) -> Scores:
    """Score detections by COCO's rules, without files and in silence.

    Args:
        truth: "images" (with height and width for masks), "categories" and "annotations" as in
            `instances_*.json`; stays unchanged. Crowds are neither to be found nor wrong.
        results: dicts of image_id, category_id, score, bbox (left, top, width, height) and for
            masks segmentation (RLE), in any order: equal scores are taken in an order of their own.
        kind: boxes or masks.
        scorer: what computes.

    Raises:
        ValueError: a result is of a picture or a category that the truth does not list.
        UserError: hotcoco is asked for and not installed.
    """
    for key, listed in (("image_id", "images"), ("category_id", "categories")):
        known = {one["id"] for one in truth[listed]}
        strange = sorted({one[key] for one in results} - known)
        if strange:
            raise ValueError(f"results of an {key} that the truth lacks, such as {strange[0]}")
    shared = {"images": truth["images"], "categories": truth["categories"]}
    # An id of 0 would count as "no match" in pycocotools, so ids in files are not trusted.
    annotations = [_annotated(one, number) for number, one in enumerate(truth["annotations"], 1)]
    found = [
        _measured(one, number, kind) for number, one in enumerate(sorted(results, key=_rank), 1)
    ]
    evaluate = _by_hotcoco if scorer == "hotcoco" else _by_pycocotools
    statistics, precision, recall = evaluate(
        {**shared, "annotations": annotations}, {**shared, "annotations": found}, kind
    )
    categories = sorted(one["id"] for one in truth["categories"])
    return Scores(
        dict(zip(STATISTICS, (float(value) for value in statistics), strict=True)),
        {
            category: _of_class(precision[:, :, place], recall[:, place])
            for place, category in enumerate(categories)
        },
    )


Evaluated = tuple[Sequence[float], NDArray[np.float64], NDArray[np.float64]]
"""The statistics; precisions by overlap, recall, class, size and number of detections; recalls by
the same without recall."""


def _by_pycocotools(truth: dict[str, Any], found: dict[str, Any], kind: Kind) -> Evaluated:
    with contextlib.redirect_stdout(None):  # it reports each step
        indices = []
        for dataset in (truth, found):
            index = COCO()
            index.dataset = dataset
            index.createIndex()
            indices.append(index)
        return _run(COCOeval(*indices, kind))


def _by_hotcoco(truth: dict[str, Any], found: dict[str, Any], kind: Kind) -> Evaluated:
    if importlib.util.find_spec("hotcoco") is None:
        raise UserError(
            "--test.scorer hotcoco: it is not installed; say pip install '.[fast]', or "
            "--test.scorer pycocotools"
        )
    import hotcoco

    return _run(hotcoco.COCOeval(hotcoco.COCO(truth), hotcoco.COCO(found), kind))


def _run(evaluation: Any) -> Evaluated:
    evaluation.evaluate()
    evaluation.accumulate()
    with contextlib.redirect_stdout(None):
        evaluation.summarize()
    content = evaluation.eval
    return evaluation.stats, np.asarray(content["precision"]), np.asarray(content["recall"])


def _of_class(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float]:
    """The scores of one class from its part of the tables."""
    precision = precision[:, :, _ALL_SIZES, _BEST_100]
    return {
        "AP": _mean(precision),
        "AP50": _mean(precision[0]),
        "AP75": _mean(precision[5]),
        "AR": _mean(recall[:, _ALL_SIZES, _BEST_100]),
    }


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is defined, -1 where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def _rank(result: dict[str, Any]) -> tuple[Any, ...]:
    """Sort key that orders results alike however they came."""
    return (result["image_id"], result["category_id"], -result["score"], *result["bbox"])


def _annotated(annotation: dict[str, Any], number: int) -> dict[str, Any]:
    """An annotation with the fields that some data sets leave out."""
    *_, width, height = annotation["bbox"]
    return {"iscrowd": 0, "area": width * height, **annotation, "id": number}


def _measured(result: dict[str, Any], number: int, kind: Kind) -> dict[str, Any]:
    """A result with the area, of the box or of the mask, by which COCO sorts it by size."""
    *_, width, height = result["bbox"]
    area = width * height if kind == "bbox" else float(rle.area(result["segmentation"]))
    return {**result, "area": area, "iscrowd": 0, "id": number}
