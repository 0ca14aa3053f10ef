"""Scaling and augmentation of pictures of people; all randomness comes from the generator.

The recipe is that of the strong baseline (Luo et al., "Bag of Tricks and A Strong Baseline for Deep
Person Re-identification", CVPRW 2019): scale, mirror, pad with black and cut, erase a rectangle.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

_TRIES = 100
_LEAST_AREA, _LARGEST_AREA = 0.02, 0.4
_LEAST_ASPECT = 0.3

NOTHING = (0, 0, 0, 0)
"""The rectangle of a picture of which nothing is erased."""


@dataclass(frozen=True)
class Augmentation:
    """How training varies its pictures."""

    flip_probability: float
    padding: int
    erase_probability: float


def scale(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) scaled to planes (3, height, width), whatever its shape was.

    Bilinear, averaging where it shrinks, as Pillow does it for the published recipes.
    """
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    if planes.shape[2:] != size:
        planes = F.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)
    return np.ascontiguousarray(planes[0].numpy())


def augment(
    image: NDArray[np.uint8], augmentation: Augmentation, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A varied picture (3, H, W), and the rectangle (top, left, height, width) to erase in it.

    The published recipe erases in the normalised picture, with values that no byte stands for, so
    the model does it: see `tasks.reid.model.erase`.
    """
    if generator.random() < augmentation.flip_probability:
        image = image[:, :, ::-1]
    image = _shift(image, augmentation.padding, generator)
    return image, _rectangle(image.shape[1], image.shape[2], augmentation, generator)


def _shift(
    image: NDArray[np.uint8], padding: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Pad with black on all sides, and cut the picture's own size out at random."""
    height, width = image.shape[1:]
    top, left = generator.integers(0, 2 * padding, size=2, endpoint=True).tolist()
    padded = np.zeros((3, height + 2 * padding, width + 2 * padding), dtype=np.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    return np.ascontiguousarray(padded[:, top : top + height, left : left + width])


def _rectangle(
    height: int, width: int, augmentation: Augmentation, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Random erasing (Zhong et al., AAAI 2020): share of the area, then shape, then place."""
    if generator.random() >= augmentation.erase_probability:
        return NOTHING
    for _ in range(_TRIES):
        area = generator.uniform(_LEAST_AREA, _LARGEST_AREA) * height * width
        aspect = generator.uniform(_LEAST_ASPECT, 1 / _LEAST_ASPECT)
        tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if tall < height and wide < width:
            top = int(generator.integers(0, height - tall, endpoint=True))
            left = int(generator.integers(0, width - wide, endpoint=True))
            return top, left, tall, wide
    return NOTHING
