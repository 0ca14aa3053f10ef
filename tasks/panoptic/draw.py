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
    covered = (places > 0).astype(np.uint8) * 255
    drawn = overlay(picture, painted(places, labels), covered, places)
    for number, text in texts.items():
        _write(drawn, places == number, text)
    return drawn


def painted(places: NDArray[np.integer], labels: Mapping[int, int]) -> Picture:
    """The colours (H, W, 3) of segments alone, black where none is; arguments as above."""
    table = np.zeros((int(max([places.max(initial=0), *labels])) + 1, 3), np.uint8)
    for number, colour in colours_of(labels).items():
        table[number] = colour
    return np.asarray(table[places], np.uint8)


def colours_of(labels: Mapping[int, int]) -> dict[int, tuple[int, int, int]]:
    """The colour of each segment (RGB), by number: that of its class, in a shade of its own."""
    colours: dict[int, tuple[int, int, int]] = {}
    seen: dict[int, int] = {}
    for number, label in labels.items():
        shade = _SHADES[seen.get(label, 0) % len(_SHADES)]
        seen[label] = seen.get(label, 0) + 1
        red, green, blue = (min(255, int(level * shade)) for level in colour_of(label))
        colours[number] = (red, green, blue)
    return colours


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
