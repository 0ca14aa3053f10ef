"""The robot user, who clicks where the mask is wrong most, and what clicks keep of a mask.

Masks are (H, W), true where the object is. Distances count in whole squared pixels, so that no
rounding of a platform decides which pixel is clicked.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.interactive.clicks import Click

Mask = NDArray[np.bool_]


def depths(region: Mask) -> NDArray[np.int64]:
    """Squared distance (H, W) of a region's pixels from its nearest one outside; 0 outside.

    Beyond the picture's border is outside.
    """
    found = np.zeros(region.shape, np.int64)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not rows.size:
        return found
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = np.pad(region[inside].astype(np.uint8), 1)
    # The roots are rounded, their squares are whole numbers: for distances below 2,000 pixels
    # the nearest one is right.
    root = cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    found[inside] = np.rint(root.astype(np.float64) ** 2).astype(np.int64)
    return found


def mistakes(mask: Mask, truth: Mask, ignored: Mask) -> tuple[Mask, Mask]:
    """What is missing in a mask, and what is too much; ignored pixels are neither."""
    return truth & ~mask & ~ignored, mask & ~truth & ~ignored


def next_click(
    mask: Mask,
    truth: Mask,
    ignored: Mask,
    before: Sequence[Click],
    generator: np.random.Generator | None = None,
) -> Click | None:
    """Where the robot clicks next; None where nothing is left to correct.

    In the deepest place of what is missing, if that is deeper than the deepest place of what is too
    much; else there. Of equal places the first from the top, and from the left. Pixels that were
    clicked are no such places.

    Args:
        mask: as it is.
        truth: as it should be.
        ignored: pixels that do not count.
        before: the clicks so far.
        generator: none takes the deepest place; otherwise any is drawn that is at least half as
            deep.
    """
    missing, surplus = (depths(region) for region in mistakes(mask, truth, ignored))
    for click in before:
        missing[click.y, click.x] = surplus[click.y, click.x] = 0
    positive = bool(missing.max() > surplus.max())
    chosen = missing if positive else surplus
    deepest = int(chosen.max())
    if not deepest:
        return None
    place = int(chosen.argmax())
    if generator is not None:
        # A quarter of the squared distance is half of the distance.
        place = int(generator.choice(np.flatnonzero(4 * chosen.ravel() >= deepest)))
    return Click(place % mask.shape[1], place // mask.shape[1], positive)


def overlap(mask: Mask, truth: Mask, ignored: Mask) -> float:
    """Intersection over union of a mask and the truth, without ignored pixels."""
    union = np.count_nonzero((mask | truth) & ~ignored)
    return np.count_nonzero(mask & truth & ~ignored) / union if union else 1.0


def structural(mask: Mask, clicks: Sequence[Click]) -> Mask:
    """The parts of a mask, connected across sides, that hold a positive click; maybe none."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    held = {int(parts[one.y, one.x]) for one in clicks if one.positive} - {0}
    return np.isin(parts, list(held))
