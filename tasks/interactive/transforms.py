"""Augmentations of a picture with an object; every random choice comes from a generator.

Pictures are (H, W, 3) RGB, masks (H, W) with 1 on the object, 0 beside it and IGNORED.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading import windows
from common.reading.windows import MEAN_COLOUR
from tasks.interactive.config import DataConfig
from tasks.interactive.masks import IGNORED, Truth


class Sample(NamedTuple):
    """A picture with an object."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    label: NDArray[np.uint8]
    """(H, W): 0, 1 or IGNORED."""


def labelled(truth: Truth) -> NDArray[np.uint8]:
    """The label (H, W) of an object."""
    return np.where(truth.ignored, IGNORED, truth.mask).astype(np.uint8)


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Both in another size: the picture interpolated, the label taken from the nearest pixel."""
    if sample.label.shape == (height, width):
        return sample
    return Sample(
        windows.resized(sample.image, height, width), windows.nearest(sample.label, height, width)
    )


def crop(sample: Sample, height: int, width: int, generator: np.random.Generator) -> Sample:
    """A random window that shows a pixel of the object, drawn at random.

    What the picture does not fill is of the mean colour, and beside the object.
    """
    image = windows.padded(sample.image, height, width, MEAN_COLOUR)
    label = windows.padded(sample.label, height, width, 0)
    inside = np.flatnonzero(label == 1)
    y, x = divmod(int(inside[generator.integers(len(inside))]), label.shape[1])
    top, left = (
        int(generator.integers(max(0, place - side + 1), min(place, whole - side) + 1))
        for place, side, whole in zip((y, x), (height, width), label.shape, strict=True)
    )
    window = np.s_[top : top + height, left : left + width]
    return Sample(image[window], label[window])


def flip(sample: Sample) -> Sample:
    """Mirrored."""
    return Sample(sample.image[:, ::-1], sample.label[:, ::-1])


def recolour(
    sample: Sample, brightness: tuple[float, float], generator: np.random.Generator
) -> Sample:
    """Another brightness, and half as much of it for each colour."""
    least, greatest = ((1 + factor) / 2 for factor in brightness)
    factors = generator.uniform(*brightness) * generator.uniform(least, greatest, 3)
    levels = np.arange(256)[:, None] * factors
    table = np.clip(levels, 0, 255).round().astype(np.uint8)
    image = cv2.LUT(np.ascontiguousarray(sample.image), table[None])
    return sample._replace(image=np.asarray(image, np.uint8))


def augment(sample: Sample, data: DataConfig, generator: np.random.Generator) -> Sample:
    """A training sample of `data.crop_size`, varied as the settings say."""
    size = sample.label.shape
    if data.short_side:
        size = windows.scaled_size(sample.label.shape, data.short_side)
    if data.scales != (1.0, 1.0):
        factor = generator.uniform(*data.scales)
        size = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    whole = sample
    sample = resize(sample, size[0], size[1])
    if not (sample.label == 1).any():  # a tiny object may fall between the nearest pixels
        sample = whole
    sample = crop(sample, *data.crop_size, generator)
    if generator.random() < data.flip_probability:
        sample = flip(sample)
    if data.brightness != (1.0, 1.0):
        sample = recolour(sample, data.brightness, generator)
    if data.ignored == "background":
        sample = sample._replace(label=np.where(sample.label == 1, 1, 0).astype(np.uint8))
    return sample
