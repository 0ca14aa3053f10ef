"""Panoptic quality: pure functions of what is annotated and what was found.

Kirillov, He, Girshick, Rother and Dollár, "Panoptic Segmentation", CVPR 2019, with the rules of the
evaluator of COCO, which are more than the paper's: areas of the truth are those that its file
states, what nobody labelled is taken out of a union, and a crowd excuses what lies on it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.commands.card import UNDECIDED

VOID = 0
"""Number in a map of the pixels that belong to no segment."""
LEAST_OVERLAP = 0.5
"""IoU above which two segments match, so that each has one match at most; and the share of a
segment on void and crowds above which it is not wrong."""

NAMES = (
    "PQ", "SQ", "RQ", "PQ_things", "PQ_stuff", "SQ_things", "RQ_things", "SQ_stuff", "RQ_stuff",
)  # fmt: skip
"""The scores, in the order in which they are told."""

Map = NDArray[np.integer]
"""(H, W), the number of each pixel's segment."""


class Segment(NamedTuple):
    """A segment of a picture, as a score sees it."""

    label: int
    """Its class, from 0 on."""
    area: int
    """In pixels."""
    crowd: bool = False


class Overlaps(NamedTuple):
    """How two maps lie over each other: K pairs of numbers that meet somewhere."""

    first: NDArray[np.int64]
    """(K,)"""
    second: NDArray[np.int64]
    """(K,)"""
    pixels: NDArray[np.int64]
    """(K,), at least 1."""


class Tally(NamedTuple):
    """What was counted of each of C classes; tallies of several pictures add up."""

    iou: NDArray[np.float64]
    """(C,), sum over the matches."""
    found: NDArray[np.int64]
    """(C,) matches."""
    wrong: NDArray[np.int64]
    """(C,) found where there is none."""
    missed: NDArray[np.int64]
    """(C,)"""

    @classmethod
    def empty(cls, classes: int) -> "Tally":
        """Nothing yet."""
        whole = [np.zeros(classes, np.int64) for _ in range(3)]
        return cls(np.zeros(classes), *whole)

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(
            self.iou + other.iou,
            self.found + other.found,
            self.wrong + other.wrong,
            self.missed + other.missed,
        )


def overlaps(first: Map, second: Map) -> Overlaps:
    """Count the pixels of every pair of numbers.

    Maps are even over long runs, so runs are sorted, not pixels.

    Args:
        first: numbers from 0 to 2^24 - 1.
        second: the same, of equal shape.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"the truth is {first.shape}, the prediction {second.shape}")
    one, two = first.ravel(), second.ravel()
    changes = np.flatnonzero((one[1:] != one[:-1]) | (two[1:] != two[:-1])) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(starts, append=one.size)
    codes = (one[starts].astype(np.int64) << 32) | two[starts].astype(np.int64)
    pairs, which = np.unique(codes, return_inverse=True)
    pixels = np.bincount(which, weights=lengths, minlength=len(pairs)).astype(np.int64)
    return Overlaps(pairs >> 32, pairs & 0xFFFFFFFF, pixels)


def compare(
    truth: Map,
    true: Mapping[int, Segment],
    found: Map,
    named: Mapping[int, int],
    classes: int,
) -> Tally:
    """What is right, wrong and missed in one picture.

    Args:
        truth: map of the annotated segments.
        true: the annotated segments by number, in the order of their file.
        found: map of the same shape.
        named: class of each segment that was found, by number.
        classes: their number C.

    Raises:
        ValueError: the prediction contradicts itself: a number without a segment, a segment without
            pixels, or an unknown class.
    """
    tally, pairs = Tally.empty(classes), overlaps(truth, found)
    areas = _areas(pairs, named, classes)
    meets = dict(
        zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True),
            pairs.pixels.tolist(), strict=True)
    )  # fmt: skip
    matched = _match(tally, true, named, areas, meets)
    crowds: dict[int, int] = {}
    for number, one in true.items():
        if number in matched:
            continue
        if one.crowd:
            crowds[one.label] = number  # of several, the last excuses
        else:
            tally.missed[one.label] += 1
    for number, label in named.items():
        if number in matched.values():
            continue
        excused = meets.get((VOID, number), 0)
        excused += meets.get((crowds[label], number), 0) if label in crowds else 0
        if excused / areas[number] <= LEAST_OVERLAP:
            tally.wrong[label] += 1
    return tally


def _match(
    tally: Tally,
    true: Mapping[int, Segment],
    named: Mapping[int, int],
    areas: Mapping[int, int],
    meets: Mapping[tuple[int, int], int],
) -> dict[int, int]:
    """Count the pairs of one class that overlap enough; the truth's numbers and their matches."""
    matched: dict[int, int] = {}
    for (number, other), shared in meets.items():
        one = true.get(number)
        if one is None or one.crowd or named.get(other) != one.label:
            continue
        union = areas[other] + one.area - shared - meets.get((VOID, other), 0)
        if shared / union > LEAST_OVERLAP:
            matched[number] = other
            tally.found[one.label] += 1
            tally.iou[one.label] += shared / union
    return matched


def _areas(pairs: Overlaps, named: Mapping[int, int], classes: int) -> dict[int, int]:
    """Pixels of each segment that was found."""
    areas: dict[int, int] = {}
    for number, pixels in zip(pairs.second.tolist(), pairs.pixels.tolist(), strict=True):
        areas[number] = areas.get(number, 0) + pixels
    areas.pop(VOID, None)
    for number in areas.keys() - named.keys():
        raise ValueError(f"the map has {areas[number]:,} pixels of {number}, which is no segment")
    for number, label in named.items():
        if number not in areas:
            raise ValueError(f"segment {number} has no pixel in the map")
        if not 0 <= label < classes:
            raise ValueError(f"segment {number} is of class {label}; known are 0 to {classes - 1}")
    return areas


def class_scores(tally: Tally) -> dict[str, NDArray[np.float64]]:
    """PQ, SQ and RQ (C,) of each class; NaN of one that is neither annotated nor found."""
    counted = tally.found + (tally.wrong + tally.missed) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        matched = np.where(tally.found > 0, tally.iou / tally.found, 0.0)
        return {
            "PQ": tally.iou / counted,
            "SQ": np.where(counted > 0, matched, np.nan),
            "RQ": tally.found / counted,
        }


def scores(tally: Tally, things: Sequence[bool] | NDArray[np.bool_]) -> dict[str, float]:
    """The scores in NAMES: means over the classes that are annotated or found.

    A group of which no class is has UNDECIDED. SQ of a class that was never found is 0, and counts.

    Args:
        tally: of all pictures.
        things: (C,), whether each class is countable.
    """
    each, thing = class_scores(tally), np.asarray(things, dtype=bool)
    groups = {"": np.ones_like(thing), "_things": thing, "_stuff": ~thing}
    means = {
        f"{name}{suffix}": _mean(values[rows])
        for suffix, rows in groups.items()
        for name, values in each.items()
    }
    return {name: means[name] for name in NAMES}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else UNDECIDED
