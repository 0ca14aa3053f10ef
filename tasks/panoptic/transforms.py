"""From a picture's map of segments to what a network learns: label map, boxes and masks."""

import numpy as np
from numpy.typing import NDArray

from common.reading.outlines import Masks
from tasks.detection.transforms import Boxes, boxes_of
from tasks.panoptic.annotations import Segments
from tasks.panoptic.loss import IGNORED

Places = NDArray[np.uint16]
"""(H, W), k where a picture's k-th segment is, 0 where none is."""


def semantic_map(places: Places, labels: NDArray[np.int64], things: int) -> NDArray[np.uint8]:
    """What each pixel shows, (H, W): 0 for things, crowds too, then the stuff, and IGNORED.

    Args:
        places: of the segments.
        labels: (N,) of the segments, 1 .. C; 0 counts as unlabelled.
        things: number of their classes, which come first.
    """
    kinds = np.where(labels > 0, np.maximum(labels - things, 0), IGNORED)
    table = np.concatenate([[IGNORED], kinds]).astype(np.uint8)
    return np.asarray(table[places], np.uint8)


def thing_rows(segments: Segments, things: int) -> NDArray[np.int64]:
    """Rows of the segments that are things to be found, crowds apart."""
    thing = (segments.labels > 0) & (segments.labels <= things)
    return np.flatnonzero(thing & ~segments.crowd)


def things_of(
    places: Places, segments: Segments, things: int
) -> tuple[Boxes, NDArray[np.int64], Masks]:
    """Boxes (N, 4) around, labels (N,) and masks (N, H, W) of a map's things, crowds apart.

    Of a thing without a pixel in this map the box has no area.
    """
    rows = thing_rows(segments, things)
    masks = np.empty((len(rows), *places.shape), np.uint8)
    for mask, row in zip(masks, rows.tolist(), strict=True):
        np.equal(places, row + 1, out=mask.view(np.bool_))
    return boxes_of(masks), segments.labels[rows], masks
