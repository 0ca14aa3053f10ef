"""Scores of saliency maps: pure functions of arrays, from counts of pixels.

A map and a mask are read once, into counts of each grey level inside and outside the object; all
threshold measures of a data set are then computed at once. Two definitions of the basic measures
are in use, and both are here under names of their own:

- MaxF and MAE as SalMetric computes them (the tool of PoolNet and Res2Net): maps as they are.
  MaxF is the F-measure of the data set's mean precision and mean recall, at the best threshold.
- meanF, adaptF, Sm, Em, wF and the names ending in `_stretched` or `_of_pictures`, as pysodmetrics
  1.6.2 computes them: each map is stretched to 0..255 first.

The scores of polyps, mDice and mIoU, are means over the same thresholds of the same stretched maps,
as in PraNet's evaluation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.salient.structure import (
    EPSILON,
    Floats,
    count,
    structure_measure,
    weighted_f_measure,
)

LEVELS = 256
BETA = 0.3
"""Weight of precision in the F-measure: the square of the beta in its formula."""
OBJECT = 128
"""Mask pixels above this belong to the object."""
SALMETRIC_EPSILON = 1e-4

_VALUES = np.arange(LEVELS) / 255

MAIN = ("MaxF", "MAE", "meanF", "adaptF", "Sm", "Em", "wF", "mDice", "mIoU")
"""The scores that tables show."""


class Measured(NamedTuple):
    """What one picture adds to the scores of its data set."""

    outside: Floats
    """(256,) number of pixels of each level of the map outside the object."""
    inside: Floats
    """(256,) the same inside it."""
    stretched: Floats
    """(256,) the levels as 0..1, so that the map's least one is 0 and its greatest 1."""
    mean: float
    """Mean of the stretched map, 0..1."""
    error: float
    """Mean absolute difference of map and mask, both taken as they are, 0..1."""
    structure: float
    """S-measure."""
    weighted: float
    """Weighted F-measure."""


class Scores(NamedTuple):
    """The scores of a data set."""

    metrics: dict[str, float]
    precision: Floats
    """(256,) mean over the pictures, for the map above 0, 1, ..., 255."""
    recall: Floats
    """(256,)"""


def measure(predicted: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Measured:
    """Measure one map (H, W) against its mask (H, W), both 0..255.

    Raises:
        ValueError: they differ in size; a map is resized to its mask, not the other way round.
    """
    if predicted.shape != mask.shape:
        raise ValueError(f"the map is {predicted.shape} and the mask {mask.shape}")
    inside: NDArray[np.bool_] = mask > OBJECT
    picture = count(predicted, inside)
    levels = picture.levels.sum(axis=0)
    both = levels[0] + levels[1]
    stretched = stretch(both)
    return Measured(
        outside=levels[0],
        inside=levels[1],
        stretched=stretched,
        mean=_mean(predicted, both, stretched),
        error=float(cv2.norm(predicted, mask, cv2.NORM_L1)) / (255 * mask.size),
        structure=structure_measure(picture, stretched),
        weighted=weighted_f_measure(picture, stretched),
    )


def stretch(levels: Floats) -> Floats:
    """The grey levels (256,) as 0..1, so that a map's least one is 0 and its greatest 1.

    Args:
        levels: (256,) number of pixels of each level. A map of a single level keeps it.
    """
    (present,) = np.nonzero(levels)
    least, greatest = _VALUES[present[0]], _VALUES[present[-1]]
    if least == greatest:
        return _VALUES
    # The same operations in the same order as pysodmetrics, so that thresholds fall alike. Levels
    # that the map does not have only have to stay within the range.
    return np.asarray(np.clip((_VALUES - least) / (greatest - least), 0, 1))


def scores(pictures: Sequence[Measured]) -> Scores:
    """The scores of a data set from its measured pictures.

    Raises:
        ValueError: there are none.
    """
    if not pictures:
        raise ValueError("no picture was measured")
    outside, inside, stretched = (
        np.stack(arrays)
        for arrays in zip(
            *((one.outside, one.inside, one.stretched) for one in pictures), strict=True
        )
    )
    precision, recall = salmetric_curves(outside, inside)
    true, false = _above(*_binned(outside, inside, stretched))
    area, size = inside.sum(axis=1), (inside + outside).sum(axis=1)
    f_curves = f_measure(true, false, area[:, None])
    e_curves = e_measure(true, false, area[:, None], size[:, None])
    dice_curves, iou_curves = overlaps(true, false, area[:, None])
    adaptive = _adaptive(outside, inside, stretched, [picture.mean for picture in pictures])
    metrics = {
        "MaxF": float(_f(precision, recall).max()),
        "MAE": float(np.mean([picture.error for picture in pictures])),
        "meanF": float(f_curves.mean()),
        "adaptF": float(f_measure(*adaptive, area).mean()),
        "Sm": float(np.mean([picture.structure for picture in pictures])),
        "Em": float(e_curves.mean()),
        "wF": float(np.mean([picture.weighted for picture in pictures])),
        "mDice": float(dice_curves.mean()),
        "mIoU": float(iou_curves.mean()),
        "MaxF_of_pictures": float(f_curves.max(axis=1).mean()),
        "MaxF_stretched": float(f_curves.mean(axis=0).max()),
        "MAE_stretched": float(_stretched_errors(outside, inside, stretched).mean()),
        "maxE": float(e_curves.mean(axis=0).max()),
        "adaptE": float(e_measure(*adaptive, area, size).mean()),
        "maxDice": float(dice_curves.mean(axis=0).max()),
        "maxIoU": float(iou_curves.mean(axis=0).max()),
    }
    return Scores(metrics, precision, recall)


def salmetric_curves(outside: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Mean precision and recall (256,) over pictures (N, 256), for maps above 0, 1, ..., 255.

    As in SalMetric, 1e-4 is added above and below, so that nothing found has precision 1.
    """
    true, false = _above(outside, inside)
    # "Above" is strict: at 255 nothing is left.
    true, false = (np.pad(counts[:, 1:], ((0, 0), (0, 1))) for counts in (true, false))
    area = inside.sum(axis=1, keepdims=True)
    epsilon = SALMETRIC_EPSILON
    precision = (true + epsilon) / (true + false + epsilon)
    recall = (true + epsilon) / (area + epsilon)
    return precision.mean(axis=0), recall.mean(axis=0)


def f_measure(true: Floats, false: Floats, area: Floats) -> Floats:
    """F-measure from pixels found rightly and wrongly, and those of the object; 0 for nothing."""
    precision = true / np.maximum(true + false, 1)
    recall = true / np.maximum(area, 1)
    return _f(precision, recall)


def overlaps(true: Floats, false: Floats, area: Floats) -> tuple[Floats, Floats]:
    """Dice and intersection over union; both 0 where nothing is found rightly.

    Args:
        true: pixels found rightly.
        false: pixels found wrongly.
        area: pixels of the object.
    """
    # Without an object and without anything found there is nothing to divide by, and they are 0.
    union = np.maximum(area + false, 1)
    return 2 * true / np.maximum(area + true + false, 1), true / union


def e_measure(true: Floats, false: Floats, area: Floats, size: Floats) -> Floats:
    """Enhanced-alignment measure (Fan et al., IJCAI 2018) of binary maps.

    Args:
        true: pixels found rightly.
        false: pixels found wrongly.
        area: pixels of the object.
        size: pixels of the picture.
    """
    found = true + false
    kinds = (true, false, area - true, size - found - (area - true))
    mean_map, mean_mask = found / size, area / size
    aligned = np.zeros(np.broadcast_shapes(true.shape, area.shape))
    for index, pixels in enumerate(kinds):
        in_map = (1 if index in (0, 1) else 0) - mean_map
        in_mask = (1 if index in (0, 2) else 0) - mean_mask
        alignment = 2 * in_map * in_mask / (in_map**2 + in_mask**2 + EPSILON)
        aligned += (alignment + 1) ** 2 / 4 * pixels
    # Without an object, or with nothing else, the alignment is undefined: pixels are counted.
    aligned = np.where(area == 0, size - found, np.where(area == size, found, aligned))
    return np.asarray(aligned / (size - 1 + EPSILON))


def _f(precision: Floats, recall: Floats) -> Floats:
    below = BETA * precision + recall
    return (1 + BETA) * precision * recall / np.where(below == 0, 1, below)


def _above(outside: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Pixels found rightly and wrongly (N, 256) when those from a level on are taken."""
    true, false = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in (inside, outside))
    return true, false


def _binned(outside: Floats, inside: Floats, stretched: Floats) -> tuple[Floats, Floats]:
    """Pixels of each stretched level (N, 256), which is cut off to a whole number."""
    pictures = len(stretched)
    levels = (stretched * 255).astype(np.uint8) + LEVELS * np.arange(pictures)[:, None]
    first, second = (
        np.bincount(levels.ravel(), part.ravel(), pictures * LEVELS).astype(np.float64)
        for part in (outside, inside)
    )
    return first.reshape(-1, LEVELS), second.reshape(-1, LEVELS)


def _mean(predicted: NDArray[np.uint8], levels: Floats, stretched: Floats) -> float:
    """The map's mean from its levels (256,), or from its pixels where the last digit decides.

    It does if twice the mean is a level, which then counts as found or not by how a sum was
    rounded: pysodmetrics adds up the pixels.
    """
    mean = (levels * stretched).sum() / levels.sum()
    if np.abs(stretched - 2 * mean).min() < 1e-9:
        mean = stretched[predicted].mean()
    return float(mean)


def _adaptive(
    outside: Floats, inside: Floats, stretched: Floats, means: Sequence[float]
) -> tuple[Floats, Floats]:
    """Pixels found rightly and wrongly (N,) from twice the map's mean on."""
    chosen = stretched >= np.minimum(2 * np.array(means), 1)[:, None]
    return (inside * chosen).sum(axis=1), (outside * chosen).sum(axis=1)


def _stretched_errors(outside: Floats, inside: Floats, stretched: Floats) -> Floats:
    wrong = (outside * stretched + inside * (1 - stretched)).sum(axis=1)
    return np.asarray(wrong / (outside + inside).sum(axis=1))
