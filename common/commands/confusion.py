"""Pixels of label maps, counted by true and predicted class: pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Confusion matrix (C, C): pixels of the row's true class that were given the column's class."""


def confusion_matrix(
    labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int
) -> Counts:
    """Count pixels by true and predicted class.

    Args:
        labels: true classes, any shape; pixels of values from `classes` on, as 255, do not count.
        predicted: classes below `classes`, of the same shape.
        classes: their number C, at most 254.

    Returns:
        (C, C) whole numbers.

    Raises:
        ValueError: the shapes differ, or a counted pixel is predicted to be of no class.
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"labels are {labels.shape}, predictions {predicted.shape}")
    # One number a pixel, and a table with room for every pair: no pixel has to be selected first.
    codes = labels.astype(np.uint16) << 8
    codes |= predicted
    table = np.bincount(codes.ravel(), minlength=256 * 256).reshape(256, 256)
    if table[:classes, classes:].any():
        raise ValueError(f"predictions hold numbers from {classes} on")
    return table[:classes, :classes]


def class_scores(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """IoU and accuracy (C,) of each class; NaN where nothing decides them.

    IoU is the pixels of the class that were found over those that have or were given it; accuracy
    is the share of the class's pixels that were found.
    """
    found = np.diag(counts).astype(np.float64)
    true, given = counts.sum(axis=1), counts.sum(axis=0)
    union = true + given - np.diag(counts)
    return {"IoU": _ratio(found, union), "accuracy": _ratio(found, true)}


def mean_scores(counts: Counts) -> dict[str, float]:
    """mIoU, pixel_accuracy and mean_accuracy between 0 and 1.

    Means are over the classes that occur: for the IoU among labels or predictions, for the accuracy
    among labels. All are NaN if no pixel was counted.
    """
    scores = class_scores(counts)
    correct = _ratio(np.trace(counts)[None].astype(np.float64), counts.sum()[None])
    return {
        "mIoU": _mean(scores["IoU"]),
        "pixel_accuracy": float(correct[0]),
        "mean_accuracy": _mean(scores["accuracy"]),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
