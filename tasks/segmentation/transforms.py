"""Augmentations of a picture with its label map; every random choice comes from a generator.

Pictures are (H, W, 3) RGB, label maps (H, W) with IGNORED where there is no label. A picture that
does not fill its crop is padded at the right and below, with the mean colour and IGNORED: published
code has padded labels with 0, which teaches that the border of the world is background.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.segmentation.labels import IGNORED

MEAN_COLOUR = (124, 116, 104)
"""ImageNet's mean, which normalisation turns into almost 0."""


class Sample(NamedTuple):
    """A picture with its labels."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    label: NDArray[np.uint8]
    """(H, W)"""


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Both in another size: the picture interpolated, the labels taken from the nearest pixel."""
    rows, columns = sample.label.shape
    if (rows, columns) == (height, width):
        return sample
    shrinks = height * width < rows * columns
    # OpenCV's linear interpolation aliases when it shrinks.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    image = cv2.resize(sample.image, (width, height), interpolation=method)
    label = cv2.resize(sample.label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return Sample(np.asarray(image, np.uint8), np.asarray(label, np.uint8))


def scaled_size(shape: tuple[int, ...], short_side: int) -> tuple[int, int]:
    """Height and width of a picture resized so that its shorter side is this long, at least 1."""
    height, width = shape[:2]
    scale = short_side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def random_scale(
    sample: Sample, short_side: int, scales: tuple[float, float], generator: np.random.Generator
) -> Sample:
    """Resized so that the short side is a random integer between the two scales of `short_side`.

    With short_side 0, the picture's own short side counts.
    """
    base = short_side or min(sample.label.shape)
    low, high = (max(1, round(base * scale)) for scale in scales)
    chosen = int(generator.integers(low, high + 1))
    return resize(sample, *scaled_size(sample.label.shape, chosen))


def pad(sample: Sample, height: int, width: int) -> Sample:
    """At least this high and wide, padded at the right and below."""
    rows, columns = sample.label.shape
    down, across = max(height - rows, 0), max(width - columns, 0)
    if not down and not across:
        return sample
    image = cv2.copyMakeBorder(
        sample.image, 0, down, 0, across, cv2.BORDER_CONSTANT, value=MEAN_COLOUR
    )
    label = cv2.copyMakeBorder(sample.label, 0, down, 0, across, cv2.BORDER_CONSTANT, value=IGNORED)
    return Sample(np.asarray(image, np.uint8), np.asarray(label, np.uint8))


def random_crop(sample: Sample, height: int, width: int, generator: np.random.Generator) -> Sample:
    """A window at a random place; what the picture does not fill is padded."""
    padded = pad(sample, height, width)
    top = int(generator.integers(0, padded.label.shape[0] - height + 1))
    left = int(generator.integers(0, padded.label.shape[1] - width + 1))
    here = np.s_[top : top + height, left : left + width]
    return Sample(padded.image[here], padded.label[here])


def flip(sample: Sample) -> Sample:
    """Mirrored."""
    return Sample(sample.image[:, ::-1], sample.label[:, ::-1])


def blur(sample: Sample, deviation: float) -> Sample:
    """The picture behind a Gaussian of this deviation in pixels; 0 leaves it sharp."""
    if deviation <= 0:
        return sample
    image = cv2.GaussianBlur(np.ascontiguousarray(sample.image), (0, 0), deviation)
    return sample._replace(image=np.asarray(image, np.uint8))
