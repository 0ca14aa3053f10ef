"""What the network is given: slices through windows of HU, as bytes; and how training varies them.

Every random choice comes from a generator.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.networks.losses import IGNORED
from tasks.volumes.config import DataConfig, Window
from tasks.volumes.volume import AIR, Labels, Values

Stack = NDArray[np.uint8]
"""(C, H, W): for each window the neighbouring slices, from the lowest to the highest."""


class Sample(NamedTuple):
    """Neighbouring slices, and the labels of the middle one."""

    slices: NDArray[np.floating] | Values
    """(slices, H, W) in HU"""
    label: NDArray[np.uint8]
    """(H, W)"""


def neighbours(index: int, count: int, data: DataConfig, gap: float) -> list[int]:
    """The slices that are seen with one of `count`; at the ends the last one is repeated.

    Args:
        index: of the middle one.
        count: of the volume's slices.
        data: how many, and how far apart.
        gap: millimetres between the volume's slices.
    """
    step = max(1, round(data.slice_distance / gap)) if data.slice_distance else 1
    reach = data.slices // 2
    return [min(max(index + step * one, 0), count - 1) for one in range(-reach, reach + 1)]


def shown(slices: NDArray[np.floating] | Values, windows: Sequence[Window]) -> Stack:
    """Slices (N, H, W) in HU through each window: 0 at its lower end, 255 at its upper end."""
    count = len(slices)
    found = np.empty((count * len(windows), *slices.shape[1:]), np.uint8)
    for number, (low, high) in enumerate(windows):
        exact = (slices.astype(np.float32) - low) * (255 / (high - low))
        found[number * count : (number + 1) * count] = np.rint(np.clip(exact, 0, 255))
    return found


def stack(at: Callable[[int], Values], chosen: Sequence[int], windows: Sequence[Window]) -> Stack:
    """What the network is given of a volume whose slices `at` gives."""
    return shown(np.stack([at(index) for index in chosen]), windows)


def crop(
    sample: Sample, centre: tuple[int, int], data: DataConfig, generator: np.random.Generator
) -> Sample:
    """A part of --data.crop_size around a place (row, column), turned, scaled and mirrored.

    The place lies anywhere within the middle half of the part. What lies outside of the slices is
    air, and has no label.
    """
    height, width = data.crop_size
    angle = np.deg2rad(generator.uniform(-data.rotation, data.rotation))
    scale = float(np.exp(generator.uniform(*np.log(data.scales))))
    mirror = -1 if generator.random() < data.flip_probability else 1
    row, column = (side * generator.uniform(0.25, 0.75) for side in (height, width))
    # From a pixel of the part to the one of the slice that is shown there.
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[mirror * cosine, -sine, 0.0], [mirror * sine, cosine, 0.0]])
    matrix[:, 2] = np.array([centre[1], centre[0]]) - matrix[:, :2] @ np.array([column, row])
    size, inverse = (width, height), cv2.WARP_INVERSE_MAP
    slices = [
        cv2.warpAffine(one, matrix, size, flags=inverse | cv2.INTER_LINEAR, borderValue=(AIR,))
        for one in sample.slices.astype(np.float32)
    ]
    nearest = inverse | cv2.INTER_NEAREST
    label = cv2.warpAffine(sample.label, matrix, size, flags=nearest, borderValue=(IGNORED,))
    return Sample(np.stack(slices), np.asarray(label, np.uint8))


def vary(sample: Sample, data: DataConfig, generator: np.random.Generator) -> Sample:
    """Values shifted as a whole, and with noise of their own."""
    slices = sample.slices.astype(np.float32) + np.float32(generator.uniform(-1, 1) * data.shift)
    deviation = generator.uniform(0, 1) * data.noise
    if deviation:
        slices += generator.standard_normal(slices.shape, np.float32) * np.float32(deviation)
    return Sample(slices, sample.label)


def voxels_by_class(
    labels: Labels, classes: int, most: int, seed: int
) -> dict[int, NDArray[np.int32]]:
    """Up to so many voxels (N, 3) of each class but the background that occurs."""
    generator = np.random.default_rng(seed)
    found = {}
    for number in range(1, classes):
        flat = np.flatnonzero(labels == number)
        if len(flat):
            chosen = np.sort(generator.choice(flat, min(most, len(flat)), replace=False))
            places = np.stack(np.unravel_index(chosen, labels.shape), axis=1)
            found[number] = places.astype(np.int32)
    return found
