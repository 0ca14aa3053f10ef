"""Maps of segments over pictures: colours by class, things apart from each other, names."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import lettering
from common.commands.overlay import overlay
from common.reading.image import Picture
from tasks.detection.draw import colour_of

_SHADES = (1.0, 0.72, 1.25, 0.55)
"""Brightness of the things of a class, in turn."""
_LEAST = 0.004
"""Share of the picture from which on a segment has room for its name."""


def draw_segments(
    picture: Picture,
    places: NDArray[np.integer],
    labels: Mapping[int, int],
    texts: Mapping[int, str],
) -> Picture:
    """The picture (H, W, 3) under the colours of its segments, with lines between them and names.

    Args:
        picture: stays as it is.
        places: (H, W), the number of each pixel's segment; 0 stays uncoloured.
        labels: class of each segment, which chooses its colour, by number.
        texts: what is written on each, by number; none for no text.
    """
    table = np.zeros((int(places.max(initial=0)) + 1, 3), np.uint8)
    seen: dict[int, int] = {}
    for number, label in labels.items():
        shade = _SHADES[seen.get(label, 0) % len(_SHADES)] if number < len(table) else 1.0
        seen[label] = seen.get(label, 0) + 1
        if number < len(table):
            table[number] = np.clip(np.multiply(colour_of(label), shade), 0, 255)
    covered = (places > 0).astype(np.uint8) * 255
    drawn = overlay(picture, table[places], covered, places)
    for number, text in texts.items():
        _write(drawn, places == number, text)
    return drawn


def _write(canvas: Picture, mask: NDArray[np.bool_], text: str) -> None:
    """Write a name where its segment is widest, if there is room."""
    if not text or np.count_nonzero(mask) < _LEAST * mask.size:
        return
    height, width = mask.shape
    scale = max(0.32, min(height, width) / 1200)
    # The picture's edge is an edge of the segment.
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    across, up, below = lettering.extent(text, scale)
    left = int(np.clip(column - across // 2, 0, max(0, width - across - 1)))
    base = int(np.clip(row + up // 2, min(up, height - 1), max(up, height - below - 1)))
    for right, down, ink in ((1, 1, (0, 0, 0)), (0, 0, (255, 255, 255))):
        lettering.write(canvas, text, left + right, base + down, scale, ink)
