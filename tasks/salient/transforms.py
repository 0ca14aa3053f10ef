"""Pictures with their masks: sizes for the network, mirror images, crops and light.

A picture is (H, W, 3), its mask (H, W), both 0..255. Masks keep their soft borders.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.reading.windows import scaled_size

Picture = NDArray[np.uint8]
Fit = Literal["native", "stretch", "pad", "scale"]
Resampling = Literal["area", "antialiased"]


class Fitted(NamedTuple):
    """A picture in the size of an input."""

    image: Picture
    """(H, W, 3)"""
    rows: int
    """Rows from the top that show the picture; what is below them is padding."""
    columns: int
    """Columns from the left that show the picture."""


@dataclass(frozen=True)
class Augmentation:
    """How training varies pictures; explained in `DataConfig`."""

    flip_probability: float
    least_crop: float
    light: float


def in_training(how: Fit) -> Fit:
    """How training brings pictures to a size: batches are of one."""
    return "stretch" if how == "scale" else how


def augment(
    image: Picture, mask: Picture, how: Augmentation, generator: np.random.Generator
) -> tuple[Picture, Picture]:
    """A varied picture and its mask.

    The number of draws is always the same, so that one setting does not change the effect of
    another.
    """
    mirrored, sides, place = generator.random(), generator.random(2), generator.random(2)
    gain, shift = generator.uniform(-how.light, how.light, 2)
    if how.least_crop < 1:
        height, width = mask.shape
        shares = how.least_crop + (1 - how.least_crop) * sides
        rows, columns = max(1, round(height * shares[0])), max(1, round(width * shares[1]))
        top, left = int(place[0] * (height - rows + 1)), int(place[1] * (width - columns + 1))
        part = np.s_[top : top + rows, left : left + columns]
        image, mask = image[part], mask[part]
    if mirrored < how.flip_probability:
        image, mask = image[:, ::-1], mask[:, ::-1]
    image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
    if how.light:
        # Contrast changes around mid grey, brightness by a share of the range.
        table = np.clip((np.arange(256) - 127.5) * (1 + gain) + 127.5 + 255 * shift / 2, 0, 255)
        image = np.asarray(cv2.LUT(image, np.rint(table).astype(np.uint8)), np.uint8)
    return image, mask


def fit(image: Picture, how: Fit, size: tuple[int, int], resampling: Resampling = "area") -> Fitted:
    """A picture as an input of the given height and width, or as it is.

    "pad" keeps the aspect, and continues the picture by its last row and column. "scale" keeps it
    too, and has the shorter of the two as its short side.
    """
    height, width = image.shape[:2]
    if how == "native":
        return Fitted(image, height, width)
    if how == "scale":
        rows, columns = scaled_size((height, width), min(size))
        return Fitted(scale(image, (rows, columns), resampling), rows, columns)
    rows, columns = fitted_size((height, width), how, size)
    resized = scale(image, (rows, columns), resampling)
    if (rows, columns) != size:
        resized = np.asarray(
            cv2.copyMakeBorder(
                resized, 0, size[0] - rows, 0, size[1] - columns, cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )
    return Fitted(resized, rows, columns)


def fit_mask(
    mask: Picture,
    how: Fit,
    size: tuple[int, int],
    resampling: Resampling = "area",
    padding: int = 0,
) -> Picture:
    """A mask in the size that `fit` gives its picture; the padding has a level of its own."""
    if how == "native":
        return mask
    return _padded(scale(mask, fitted_size(mask.shape, how, size), resampling), size, padding)


def fit_edges(edges: Picture, how: Fit, size: tuple[int, int], padding: int) -> Picture:
    """An edge map in the size that `fit` gives its picture, with its lines whole.

    Shrinking would thin lines out to grey, so they are made as thick as the shrinking takes away.
    """
    if how == "native":
        return edges
    rows, columns = fitted_size(edges.shape, how, size)
    thickness = max(1, -(-edges.shape[0] // rows), -(-edges.shape[1] // columns))
    thick = cv2.dilate(edges, np.ones((thickness, thickness), np.uint8))
    thin = cv2.resize(thick, (columns, rows), interpolation=cv2.INTER_NEAREST)
    return _padded(np.asarray(thin, np.uint8), size, padding)


def fitted_size(shape: tuple[int, ...], how: Fit, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of an input of `size` that a picture (H, W) fills."""
    if how == "stretch":
        return size
    factor = min(size[0] / shape[0], size[1] / shape[1])
    rows, columns = round(shape[0] * factor), round(shape[1] * factor)
    return min(max(rows, 1), size[0]), min(max(columns, 1), size[1])


def scale(image: Picture, size: tuple[int, int], resampling: Resampling = "area") -> Picture:
    """A picture or mask at another height and width.

    "area": averaged when shrunk, else bilinear. "antialiased": Pillow's bilinear filter, which
    averages with linearly falling weights when it shrinks.
    """
    if image.shape[:2] == size:
        return image
    if resampling == "antialiased":
        whole = Image.fromarray(np.ascontiguousarray(image))
        return np.array(whole.resize(size[::-1], Image.Resampling.BILINEAR), np.uint8)
    smaller = size[0] < image.shape[0] or size[1] < image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=method), np.uint8)


def _padded(mask: Picture, size: tuple[int, int], padding: int) -> Picture:
    rows, columns = mask.shape
    border = (0, size[0] - rows, 0, size[1] - columns)
    padded = cv2.copyMakeBorder(mask, *border, cv2.BORDER_CONSTANT, value=padding)
    return np.asarray(padded, np.uint8)
