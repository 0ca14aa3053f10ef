"""Suppression of persons found twice in one picture, by the similarity of their joints."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.pose.config import ScoringConfig

Array = NDArray[np.floating[Any]]

SOFT_KEPT = 20
"""Persons of a picture that soft suppression keeps, as COCO counts no more."""

_PAIRED_JOINTS = 1_000_000


def oks(
    first: Array, second: Array, first_areas: Array, second_areas: Array, sigmas: Array
) -> NDArray[np.float64]:
    """Object keypoint similarity of every pair of two lists of persons.

    All joints count, whatever their score, as in the published suppression.

    Args:
        first: (N, J, 2) in pixels.
        second: (M, J, 2) in pixels.
        first_areas: (N,) in square pixels: width times height of the padded boxes.
        second_areas: (M,) likewise.
        sigmas: (J,) spread of each joint relative to the person's size.

    Returns:
        Similarities (N, M) between 0 and 1.
    """
    spreads = (2 * np.asarray(sigmas)) ** 2
    similarity = np.empty((len(first), len(second)))
    # Few rows at a time: the joints of all pairs of a large crowd would not fit in the memory.
    rows = max(1, _PAIRED_JOINTS // max(1, len(second) * len(spreads)))
    for start in range(0, len(first), rows):
        some = slice(start, start + rows)
        squares = np.square(first[some, None] - second[None]).sum(axis=-1)
        areas = (first_areas[some, None] + second_areas[None]) / 2 + np.spacing(1)
        similarity[some] = np.exp(-squares / (2 * spreads * areas[..., None])).mean(axis=-1)
    return similarity


def oks_nms(
    points: Array, scores: Array, areas: Array, sigmas: Array, threshold: float = 0.9
) -> NDArray[np.intp]:
    """Indices of the persons to keep, best first.

    From the best score down, a person is kept if its similarity to every person kept so far
    is at most the threshold. Of equal scores the earlier person goes first.

    Args:
        points: (N, J, 2) in pixels, all of one picture.
        scores: (N,).
        areas: (N,) in square pixels.
        sigmas: (J,).
        threshold: between 0 and 1; at 1 everybody stays.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    similarity = oks(points[order], points[order], areas[order], areas[order], sigmas)
    alive = np.ones(len(order), dtype=bool)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= similarity[place, place + 1 :] <= threshold
    return order[alive]


def soft_oks_nms(
    points: Array,
    scores: Array,
    areas: Array,
    sigmas: Array,
    threshold: float = 0.9,
    kept: int = SOFT_KEPT,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Lower the scores of persons that resemble better ones, and keep the best.

    The best person left is taken and the score of each other one multiplied by
    exp(-oks^2 / threshold), until `kept` are taken. The published code only orders by these
    scores and reports the old ones; here the lowered scores are handed out, to be reported.

    Args:
        points: (N, J, 2) in pixels, all of one picture.
        scores: (N,).
        areas: (N,) in square pixels.
        sigmas: (J,).
        threshold: width of the decay, above 0.
        kept: persons to keep at most.

    Returns:
        Indices (K,) in the order taken and their lowered scores (K,).
    """
    similarity = oks(points, points, areas, areas, sigmas)
    lowered = np.array(scores, dtype=np.float64)
    left = np.ones(len(lowered), dtype=bool)
    taken: list[int] = []
    while left.any() and len(taken) < kept:
        best = int(np.argmax(np.where(left, lowered, -np.inf)))
        taken.append(best)
        left[best] = False
        lowered[left] *= np.exp(-(similarity[best, left] ** 2) / threshold)
    chosen = np.array(taken, dtype=np.intp)
    return chosen, lowered[chosen]


def suppress(
    points: Array, scores: Array, areas: Array, sigmas: Array, test: ScoringConfig
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Indices (K,) of the persons of one picture to report, best first, and their scores (K,).

    Takes the method and threshold of --test.nms. Joints without known spreads (no sigmas, as in
    MPII) cannot be compared: then everybody stays.
    """
    if test.nms == "none" or len(sigmas) == 0:
        order = np.argsort(-scores, kind="stable")
        return order, np.asarray(scores[order], dtype=np.float64)
    if test.nms == "soft":
        return soft_oks_nms(points, scores, areas, sigmas, test.nms_threshold)
    kept = oks_nms(points, scores, areas, sigmas, test.nms_threshold)
    return kept, np.asarray(scores[kept], dtype=np.float64)
