"""The first clicks of a training sample, simulated from the object alone.

As in FCA-Net's training (Lin et al., CVPR 2020): clicks keep away from the object's border and from
each other, by distances that are drawn anew for each sample. Those are of crops of 384 pixels, and
of smaller ones smaller.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.interactive.clicks import Box, Click
from tasks.interactive.config import ClickConfig
from tasks.interactive.robot import Mask, next_click

_CROP = 384
"""Side of the crops that the distances are of."""
_MARGINS, _APART = (5, 10, 15, 20), (7, 10, 20)
"""Of positive clicks: from the object's border, and from each other."""
_GAPS, _FARTHEST, _NEGATIVE_APART = (15, 40, 60), 80, (10, 15, 25)
"""Of negative clicks: from the object at least and at most, and from each other."""
_LOOSE = 0.1
"""Share of a side by which a box may miss the object's."""


def first(mask: Mask) -> Click:
    """The robot's first click on an object (H, W): its deepest pixel."""
    nothing = np.zeros_like(mask)
    click = next_click(nothing, mask, nothing, ())
    if click is None:
        raise ValueError("the mask is empty")
    return click


def clicks(mask: Mask, config: ClickConfig, generator: np.random.Generator) -> list[Click]:
    """Clicks on an object (H, W) and beside it, the robot's first one at the beginning."""
    scale = min(mask.shape) / _CROP
    inside = _from_border(mask)
    found = [first(mask)]
    margin = scale * generator.choice(_MARGINS)
    found += _spread(
        inside > margin,
        _number(config.positive - 1, config.decay, generator),
        scale * generator.choice(_APART),
        True,
        found,
        generator,
    )
    outside = _distance(~mask)
    near = (outside > scale * generator.choice(_GAPS)) & (outside < scale * _FARTHEST)
    found += _spread(
        near,
        _number(config.negative, config.decay, generator),
        scale * generator.choice(_NEGATIVE_APART),
        False,
        (),
        generator,
    )
    return found


def _from_border(mask: Mask) -> NDArray[np.float32]:
    """Pixels (H, W) from what is not the object, to which the outside of the crop belongs."""
    return _distance(np.pad(mask, 1))[1:-1, 1:-1]


def _distance(region: Mask) -> NDArray[np.float32]:
    found = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)


def _number(most: int, decay: float, generator: np.random.Generator) -> int:
    """A number from 0 to the most, each `decay` times as likely as the one below it."""
    weights = decay ** np.arange(most + 1)
    return int(generator.choice(most + 1, p=weights / weights.sum()))


def _spread(
    region: Mask,
    count: int,
    apart: float,
    positive: bool,
    before: Sequence[Click],
    generator: np.random.Generator,
) -> list[Click]:
    """At most so many pixels of a region, farther from each other and from others than `apart`."""
    rows, columns = np.nonzero(region)
    found: list[Click] = []
    taken = list(before)
    while len(found) < count:
        for other in taken:
            free = (rows - other.y) ** 2 + (columns - other.x) ** 2 > apart**2
            rows, columns = rows[free], columns[free]
        if not rows.size:
            break
        place = int(generator.integers(rows.size))
        taken = [Click(int(columns[place]), int(rows[place]), positive)]
        found += taken
    return found


def box(mask: Mask, generator: np.random.Generator) -> Box:
    """A box as a person draws it around an object (H, W): a little too large or too small."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bounds = []
    for places, whole in ((columns, mask.shape[1]), (rows, mask.shape[0])):
        loose = _LOOSE * (places[-1] - places[0] + 1)
        ends = np.array([places[0], places[-1]]) + generator.uniform(-loose, loose, 2)
        low, high = np.clip(np.rint(np.sort(ends)), 0, whole - 1).astype(int).tolist()
        bounds.append((low, high))
    (left, right), (top, bottom) = bounds
    return left, top, right, bottom
