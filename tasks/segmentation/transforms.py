"""Augmentations of a picture with its label map; every random choice comes from a generator.

Pictures are (H, W, 3) RGB, label maps (H, W) with IGNORED where there is no label. A picture that
does not fill its crop is padded at the right and below, with the mean colour and IGNORED: published
code has padded labels with 0, which teaches that the border of the world is background.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.networks.losses import IGNORED
from common.reading import windows
from common.reading.windows import MEAN_COLOUR, scaled_size


class Sample(NamedTuple):
    """A picture with its labels."""

    image: NDArray[np.uint8]
    """(H, W, 3)"""
    label: NDArray[np.uint8]
    """(H, W)"""


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Both in another size: the picture interpolated, the labels taken from the nearest pixel."""
    if sample.label.shape == (height, width):
        return sample
    return Sample(
        windows.resized(sample.image, height, width), windows.nearest(sample.label, height, width)
    )


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
    return Sample(
        windows.padded(sample.image, height, width, MEAN_COLOUR),
        windows.padded(sample.label, height, width, IGNORED),
    )


def random_crop(sample: Sample, height: int, width: int, generator: np.random.Generator) -> Sample:
    """A window at a random place; what the picture does not fill is padded."""
    whole = pad(sample, height, width)
    here = windows.random_window(whole.label.shape, height, width, generator)
    return Sample(whole.image[here], whole.label[here])


def flip(sample: Sample) -> Sample:
    """Mirrored."""
    return Sample(sample.image[:, ::-1], sample.label[:, ::-1])


def blur(sample: Sample, deviation: float) -> Sample:
    """The picture behind a Gaussian of this deviation in pixels; 0 leaves it sharp."""
    if deviation <= 0:
        return sample
    image = cv2.GaussianBlur(np.ascontiguousarray(sample.image), (0, 0), deviation)
    return sample._replace(image=np.asarray(image, np.uint8))
