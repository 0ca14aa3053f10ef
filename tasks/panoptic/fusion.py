"""Things and stuff become one map: every pixel belongs to one segment or to none.

Kirillov, Girshick, He and Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019, section 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.panoptic.config import ScoringConfig

Map = NDArray[np.int32]


class Part(NamedTuple):
    """A segment of a map."""

    number: int
    """In the map, from 1 on."""
    label: int
    """Its class: things from 1 on, and after them the stuff."""
    area: int
    """In pixels."""
    score: float | None
    """Of a thing."""


def combine(
    masks: Sequence[NDArray[np.bool_]],
    labels: Sequence[int],
    scores: Sequence[float],
    semantic: NDArray[np.integer],
    things: int,
    test: ScoringConfig,
) -> tuple[Map, list[Part]]:
    """The map (H, W), 0 where nothing is, and its segments.

    Things are laid down by falling score, and get the pixels that are free. Then each class of
    stuff gets what is left of its pixels; those that the semantic map gives to things, and no thing
    has, stay without a segment.

    Args:
        masks: (H, W) of each thing.
        labels: of each, from 1 on.
        scores: of each.
        semantic: (H, W), 0 for things, then the classes of stuff.
        things: number of their classes.
        test: least score, greatest overlap, least area.
    """
    whole = np.zeros(semantic.shape, np.int32)
    parts: list[Part] = []
    for place in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if scores[place] < test.thing_score:
            break
        mask = masks[place]
        area = int(np.count_nonzero(mask))
        free = mask & (whole == 0)
        left = int(np.count_nonzero(free))
        if not left or (area - left) / area > test.overlap:
            continue
        number = len(parts) + 1
        whole[free] = number
        parts.append(Part(number, int(labels[place]), left, float(scores[place])))
    remaining = np.where(whole == 0, semantic, 0)
    counts = np.bincount(remaining.ravel())
    for kind in np.flatnonzero(counts[1:] >= max(1, test.stuff_area)) + 1:
        number = len(parts) + 1
        whole[remaining == kind] = number
        parts.append(Part(number, things + int(kind), int(counts[kind]), None))
    return whole, parts
