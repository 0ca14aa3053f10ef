"""Augmentations of a picture with its depth; every random choice comes from a generator.

Pictures are (H, W, 3) RGB, depth (H, W) in metres with 0 where nothing was measured. Depth is only
ever taken from the nearest pixel: between two surfaces there is no third one.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading import windows
from common.reading.windows import MEAN_COLOUR, Window
from tasks.depth.config import DataConfig

KB_SIZE = (352, 1216)
"""Height and width that all pictures of KITTI have in common."""
_GAMMA = _COLOUR = (0.9, 1.1)


class Sample(NamedTuple):
    """A picture with its depth."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    depth: NDArray[np.float32]
    """(H, W)"""


def kb_window(height: int, width: int) -> Window | None:
    """The lowest 352 rows and the middle 1216 columns; None of a picture that lacks them."""
    top, left = height - KB_SIZE[0], (width - KB_SIZE[1]) // 2
    if top < 0 or left < 0:
        return None
    return slice(top, height), slice(left, left + KB_SIZE[1])


def cut(sample: Sample, window: Window) -> Sample:
    """A part of both."""
    return Sample(sample.image[window], sample.depth[window])


def without_border(sample: Sample, border: tuple[int, int, int, int]) -> Sample:
    """Without so many pixels at top, left, bottom and right."""
    top, left, bottom, right = border
    height, width = sample.depth.shape
    return cut(sample, (slice(top, height - bottom), slice(left, width - right)))


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Both in another size: the picture interpolated, depth taken from the nearest pixel."""
    if sample.depth.shape == (height, width):
        return sample
    return Sample(
        windows.resized(sample.image, height, width), windows.nearest(sample.depth, height, width)
    )


def fitted(sample: Sample, short_side: int) -> Sample:
    """Resized to this short side; 0 leaves both as they are."""
    if not short_side:
        return sample
    return resize(sample, *windows.scaled_size(sample.depth.shape, short_side))


def rotate(sample: Sample, degrees: float) -> Sample:
    """Turned about the middle; corners that become free are black and without depth."""
    height, width = sample.depth.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    image = cv2.warpAffine(sample.image, turn, (width, height), flags=cv2.INTER_LINEAR)
    depth = cv2.warpAffine(sample.depth, turn, (width, height), flags=cv2.INTER_NEAREST)
    return Sample(np.asarray(image, np.uint8), np.asarray(depth, np.float32))


def random_crop(sample: Sample, height: int, width: int, generator: np.random.Generator) -> Sample:
    """A window at a random place; what the picture does not fill is grey and without depth."""
    whole = Sample(
        windows.padded(sample.image, height, width, MEAN_COLOUR),
        windows.padded(sample.depth, height, width, 0.0),
    )
    return cut(whole, windows.random_window(whole.depth.shape, height, width, generator))


def flip(sample: Sample) -> Sample:
    """Mirrored."""
    return Sample(sample.image[:, ::-1], sample.depth[:, ::-1])


def recolour(
    sample: Sample, brightness: tuple[float, float], generator: np.random.Generator
) -> Sample:
    """Another gamma, another brightness, another strength of each colour; depth stays."""
    gamma, light = generator.uniform(*_GAMMA), generator.uniform(*brightness)
    factors = light * generator.uniform(*_COLOUR, 3)
    levels = (np.arange(256) / 255) ** gamma
    table = np.clip(255 * levels[:, None] * factors, 0, 255).round().astype(np.uint8)
    image = cv2.LUT(np.ascontiguousarray(sample.image), table[None])
    return sample._replace(image=np.asarray(image, np.uint8))


def augment(sample: Sample, data: DataConfig, generator: np.random.Generator) -> Sample:
    """A training sample of `data.crop_size`, varied as the settings say."""
    sample = fitted(without_border(sample, data.border), data.short_side)
    if data.rotation:
        sample = rotate(sample, generator.uniform(-data.rotation, data.rotation))
    sample = random_crop(sample, *data.crop_size, generator)
    if generator.random() < data.flip_probability:
        sample = flip(sample)
    if generator.random() < data.colour_probability:
        sample = recolour(sample, data.brightness, generator)
    return sample
