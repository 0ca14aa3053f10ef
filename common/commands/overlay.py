"""Regions of a picture under colours, with lines between them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading.image import Picture

OPACITY = 0.55
"""Share of the colour over a picture."""


def overlay(
    picture: Picture, painted: Picture, covered: NDArray[np.uint8], regions: NDArray[np.integer]
) -> Picture:
    """The picture (H, W, 3) under colours.

    Args:
        picture: stays as it is.
        painted: (H, W, 3), the colour of each pixel.
        covered: (H, W), 0 where the picture is left as it is.
        regions: (H, W), between whose numbers white lines are drawn.
    """
    mixed = cv2.addWeighted(picture, 1 - OPACITY, painted, OPACITY, 0)
    drawn = cv2.copyTo(mixed, covered, picture.copy())
    drawn[borders(regions)] = 255
    return np.asarray(drawn, np.uint8)


def borders(regions: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels (H, W) whose right or lower neighbour has another number."""
    different = np.zeros(regions.shape, dtype=bool)
    different[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    different[:-1] |= regions[:-1] != regions[1:]
    return different
