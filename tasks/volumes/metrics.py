"""Scores of one case, and their means over cases: pure functions of arrays.

What a score is where a region is missing in the truth, in the prediction or in both is part of its
definition: `score` gives NaN or infinity there, and `summary` says what becomes of these.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.volumes import surfaces
from tasks.volumes.config import ScoringConfig
from tasks.volumes.surfaces import Distances, Mask
from tasks.volumes.volume import Labels, Spacing

Regions = Mapping[str, tuple[int, ...]]
"""Labels of each region that is scored."""

UNDECIDED = -1.0
"""In place of a score that no case decides."""

_SHARE = 0.95
_TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels that share a corner are of one piece."""


class Pieces(NamedTuple):
    """A case's lesions."""

    lesions: int
    found: int
    false: int
    """Predicted pieces that touch no lesion."""


class Scores(NamedTuple):
    """Of one region of one case."""

    truth: int
    """Voxels."""
    predicted: int
    common: int
    millilitres: float
    """Of a voxel."""
    hd95: float
    """Millimetres; infinite if one of both is empty, NaN if both are. So is asd."""
    asd: float
    nsd: float
    """0 if one of both is empty, NaN if both are."""
    diagonal: float
    """Of the volume, in millimetres."""
    pieces: Pieces | None

    @property
    def dice(self) -> float:
        """Twice the common voxels over all of both; NaN if both are empty."""
        both = self.truth + self.predicted
        return 2 * self.common / both if both else math.nan

    @property
    def volume_error(self) -> float:
        """Predicted less true millilitres."""
        return (self.predicted - self.truth) * self.millilitres


Case = Mapping[str, Scores]
"""The scores of a case, by region."""


def regions(classes: Sequence[str], test: ScoringConfig) -> Regions:
    """What is scored: the settings' regions, or each class but the background."""
    if test.regions:
        return {name: tuple(labels) for name, labels in test.regions.items()}
    return {name: (number,) for number, name in enumerate(classes) if number}


def mask_of(labels: Labels, wanted: tuple[int, ...]) -> Mask:
    """Where the labels are one of these."""
    found: Mask = labels == wanted[0]
    for label in wanted[1:]:
        found |= labels == label
    return found


def score_case(
    truth: Labels, predicted: Labels, wanted: Regions, spacing: Spacing, test: ScoringConfig
) -> dict[str, Scores]:
    """Scores of each region of a case."""
    return {
        name: score(
            mask_of(truth, labels), mask_of(predicted, labels), spacing, test, name in test.lesions
        )
        for name, labels in wanted.items()
    }


def score(
    truth: Mask, predicted: Mask, spacing: Spacing, test: ScoringConfig, by_piece: bool = False
) -> Scores:
    """Scores of one region.

    Args:
        truth: (Z, Y, X).
        predicted: (Z, Y, X).
        spacing: millimetres between slices, rows and columns.
        test: conventions, tolerance, and what counts as found.
        by_piece: whether lesions are counted.
    """
    counts = int(truth.sum()), int(predicted.sum())
    hd95, asd, nsd = math.nan, math.nan, math.nan
    if all(counts):
        hd95, asd, nsd = _surface_scores(truth, predicted, spacing, test)
    elif any(counts):
        hd95, asd, nsd = math.inf, math.inf, 0.0
    return Scores(
        *counts,
        common=int(np.count_nonzero(truth & predicted)),
        millilitres=math.prod(spacing) / 1000,
        hd95=hd95,
        asd=asd,
        nsd=nsd,
        diagonal=math.hypot(*(s * n for s, n in zip(spacing, truth.shape, strict=True))),
        pieces=pieces(truth, predicted, test.lesion_overlap) if by_piece else None,
    )


def _surface_scores(
    truth: Mask, predicted: Mask, spacing: Spacing, test: ScoringConfig
) -> tuple[float, float, float]:
    found = _between(truth, predicted, spacing, surfaces.elements)
    nsd = found.agreement(test.tolerance)
    if test.distances == "medpy":
        both = _between(truth, predicted, spacing, surfaces.border).pooled()
        return float(np.percentile(both, 100 * _SHARE)), float(both.mean()), nsd
    return found.hausdorff(_SHARE), float(np.mean(found.average())), nsd


def _between(truth: Mask, predicted: Mask, spacing: Spacing, surface: Any) -> Distances:
    return surfaces.distances(surface(truth, spacing), surface(predicted, spacing))


def pieces(truth: Mask, predicted: Mask, overlap: float) -> Pieces:
    """Lesions that are found, and predicted pieces where there is none.

    A lesion is a piece of the truth, connected by faces, edges or corners. It is found if its IoU
    with all predicted pieces that touch it is above `overlap`.
    """
    box = surfaces.box_of(truth | predicted)
    if box is None:
        return Pieces(0, 0, 0)
    lesions, count = ndimage.label(truth[box], _TOUCHING)
    others, guesses = ndimage.label(predicted[box], _TOUCHING)
    pairs, common = np.unique(
        np.stack([lesions[truth[box]], others[truth[box]]]), axis=1, return_counts=True
    )
    touching = pairs[1] > 0
    sizes, guessed = np.bincount(lesions.ravel()), np.bincount(others.ravel())
    found = 0
    for lesion in range(1, count + 1):
        mine = touching & (pairs[0] == lesion)
        both = common[mine].sum()
        union = sizes[lesion] + guessed[pairs[1][mine]].sum() - both
        found += bool(both) and both / union > overlap
    return Pieces(count, int(found), guesses - len(np.unique(pairs[1][touching])))


def summary(cases: Sequence[Case], test: ScoringConfig) -> dict[str, float]:
    """The scores of a split: means over its cases, then over the regions.

    Dice, Dice_<region>, HD95, NSD, ASD, volume_error (mean absolute millilitres), Dice_pooled (of
    all cases' voxels together); with lesions hit_rate and false_positives (a case). A score that
    nothing decides is UNDECIDED.
    """
    names = list(cases[0]) if cases else []
    rows = {name: region_summary([case[name] for case in cases], test) for name in names}
    found = {"Dice": _mean([row["Dice"] for row in rows.values()])}
    found |= {f"Dice_{name}": row["Dice"] for name, row in rows.items()}
    for key in ("HD95", "NSD", "ASD", "volume_error", "Dice_pooled"):
        found[key] = _mean([row[key] for row in rows.values()])
    counted = [one.pieces for case in cases for one in case.values() if one.pieces is not None]
    if counted:
        lesions = sum(one.lesions for one in counted)
        hits = sum(one.found for one in counted)
        found["hit_rate"] = hits / lesions if lesions else math.nan
        found["false_positives"] = sum(one.false for one in counted) / len(cases)
    return {key: UNDECIDED if math.isnan(value) else value for key, value in found.items()}


def region_summary(cases: Sequence[Scores], test: ScoringConfig) -> dict[str, float]:
    """The scores of one region over the cases; NaN where no case decides them."""
    dice = [one.dice for one in cases]
    if test.empty_dice == "one":
        dice = [1.0 if math.isnan(value) else value for value in dice]
    both = sum(one.truth + one.predicted for one in cases)
    return {
        "Dice": _mean(dice),
        "HD95": _mean([_finite(one.hd95, one, test) for one in cases]),
        "NSD": _mean([one.nsd for one in cases]),
        "ASD": _mean([_finite(one.asd, one, test) for one in cases]),
        "volume_error": _mean([abs(one.volume_error) for one in cases]),
        "Dice_pooled": 2 * sum(one.common for one in cases) / both if both else math.nan,
    }


def _finite(distance: float, one: Scores, test: ScoringConfig) -> float:
    if not math.isinf(distance):
        return distance
    return one.diagonal if test.empty_distance == "diagonal" else math.nan


def _mean(values: Sequence[float]) -> float:
    """Over those that are known."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def largest_piece(labels: Labels, number: int) -> None:
    """Keep of a class only its largest piece, in place; the others become background."""
    mask: NDArray[np.bool_] = labels == number
    box = surfaces.box_of(mask)
    if box is None:
        return
    parts, count = ndimage.label(mask[box], _TOUCHING)
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        labels[box][(parts > 0) & (parts != sizes.argmax())] = 0
