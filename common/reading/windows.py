"""Windows and sizes of arrays (H, W, ...), for pictures and for what belongs to their pixels."""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading.image import Picture

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean in RGB, which normalisation turns into almost 0: what pads pictures."""

Array = TypeVar("Array", bound=NDArray[Any])
Window = tuple[slice, slice]
"""Rows and columns."""


def scaled_size(shape: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Height and width of a picture resized so that its shorter side is this long, at least 1."""
    height, width = shape[:2]
    scale = short_side / min(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def resized(picture: Picture, height: int, width: int) -> Picture:
    """A picture in another size: by area where it shrinks, else interpolated."""
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    # OpenCV's linear interpolation aliases when it shrinks.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def nearest(values: Array, height: int, width: int) -> Array:
    """Values (H, W) in another size, each that of the nearest pixel: none is made up."""
    found: Any = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    chosen: Array = found
    return chosen


def padded(values: Array, height: int, width: int, value: float | tuple[int, int, int]) -> Array:
    """At least this high and wide, filled at the right and below."""
    down, across = max(height - values.shape[0], 0), max(width - values.shape[1], 0)
    if not down and not across:
        return values
    filled: Any = cv2.copyMakeBorder(values, 0, down, 0, across, cv2.BORDER_CONSTANT, value=value)
    whole: Array = filled
    return whole


def random_window(
    shape: tuple[int, ...], height: int, width: int, generator: np.random.Generator
) -> Window:
    """A window of this size at a random place; the shape is at least as high and wide."""
    top = int(generator.integers(0, shape[0] - height + 1))
    left = int(generator.integers(0, shape[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)
