"""The two measures of one picture that look at where its errors lie: S-measure, weighted F-measure.

Both equal those of pysodmetrics 1.6.2, down to which of two equally near pixels counts. A map's
levels are given as a table `stretched` (256,), in which its least level is 0 and its greatest 1.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EPSILON = float(np.spacing(1))

_REACH = 3
"""The Gaussian of the weighted F-measure is 7 pixels wide."""
_REACH_DIAGONAL = 4.25
"""A pixel in reach is less than this far away: the square root of 18, and a little."""
_HALVING = 5
"""Pixels over which an error's nearness to the object loses half of its discount."""
_NOTHING = 5e-7
"""Share of the object below which a sum of errors does not count: the score moves by less."""
_MARGINS = (8, 16, 32, 48, 64)
"""Distances from the object's box at which it is asked how much error lies beyond."""
_FAR = 1e6


class Picture(NamedTuple):
    """A map and its mask, counted.

    The parts are the quarters behind the row and the column of the object's centre of mass; some
    may be empty. Without an object there is one part, the whole picture.
    """

    predicted: NDArray[np.uint8]
    """Map (H, W)."""
    inside: NDArray[np.bool_]
    """Mask (H, W)."""
    levels: Floats
    """(Q, 2, 256) pixels of each level of the map, outside and inside the object, in each part."""
    shapes: list[tuple[int, ...]]
    """Rows and columns of each part."""
    box: tuple[int, int, int, int]
    """First and last row, first and last column of the object; 0 without one."""

    def around(self, margin: int) -> tuple[slice, slice]:
        """The object's box with a margin around it, as far as the picture goes."""
        top, bottom, left, right = self.box
        rows = slice(max(top - margin, 0), bottom + margin + 1)
        return rows, slice(max(left - margin, 0), right + margin + 1)


def count(predicted: NDArray[np.uint8], inside: NDArray[np.bool_]) -> Picture:
    """Count the levels of a map (H, W) in the quarters of its mask (H, W).

    OpenCV counts in single precision: from 16.7 million pixels of one level on, counts are rounded.
    """
    pixels = inside.view(np.uint8)
    rows = cv2.reduce(pixels, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    columns = cv2.reduce(pixels, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    parts, box = [(slice(None), slice(None))], (0, 0, 0, 0)
    if rows.any():
        down, right = _center(rows), _center(columns)
        parts = [
            (vertical, horizontal)
            for vertical in (slice(0, down), slice(down, None))
            for horizontal in (slice(0, right), slice(right, None))
        ]
        box = (*_ends(rows), *_ends(columns))
    levels = np.zeros((len(parts), 256, 2), dtype=np.float32)
    for part, found in zip(parts, levels, strict=True):
        if predicted[part].size:
            both = [predicted[part], pixels[part]]
            cv2.calcHist(both, [0, 1], None, [256, 2], [0, 256, 0, 2], found)
    shapes = [predicted[part].shape for part in parts]
    return Picture(predicted, inside, levels.transpose(0, 2, 1).astype(np.float64), shapes, box)


def _center(counts: NDArray[np.int32]) -> int:
    """Lines up to and with the centre of mass, rounded as NumPy does, from the pixels in each."""
    area = int(counts.sum())
    return round(int(counts.astype(np.int64) @ np.arange(len(counts))) / area) + 1


def _ends(counts: NDArray[np.int32]) -> tuple[int, int]:
    """The first and the last line that have pixels."""
    (present,) = np.nonzero(counts)
    return int(present[0]), int(present[-1])


def structure_measure(picture: Picture, stretched: Floats) -> float:
    """S-measure (Fan et al., ICCV 2017): half object similarity, half the similarity of regions.

    Where the centre of mass lies in the last row or column, quarters are empty. They weigh nothing
    here; pysodmetrics gives NaN.
    """
    # Number, sum and sum of squares (Q, 2, 3) of the values, outside and inside.
    moments = picture.levels @ np.stack([np.ones(256), stretched, stretched**2], axis=1)
    (number, total, squares), inside = moments.sum(axis=0).tolist()
    size, area = number + inside[0], inside[0]
    if area == 0:
        return 1 - float(total / size)
    if area == size:
        return float(inside[1] / size)
    objects = area * _object_similarity(*inside)
    # Outside, the counterpart is 1 - value.
    objects += number * _object_similarity(number, number - total, number - 2 * total + squares)
    regions = sum(
        _region_similarity(picture, index, part, stretched)
        for index, part in enumerate(moments.tolist())
    )
    return max(0.0, 0.5 * float(objects + regions) / float(size))


def _object_similarity(number: float, total: float, squares: float) -> float:
    """How evenly high values are, of which number, sum and sum of squares are known.

    This is 2 m / (m² + 1 + s) with their mean m and deviation s.
    """
    mean = total / number
    variance = (squares - total * mean) / max(number - 1, 1)
    return 2 * mean / (mean**2 + 1 + math.sqrt(max(variance, 0)) + EPSILON)


def _region_similarity(
    picture: Picture, index: int, moments: list[list[float]], stretched: Floats
) -> float:
    """Structural similarity (SSIM without its constants) of one part, times its pixels."""
    (number, total, squares), (area, inside, squares_inside) = moments
    size = number + area
    if size == 0:
        return 0.0
    mean, share = (total + inside) / size, area / size
    variation = squares + squares_inside - size * mean**2
    (present,) = np.nonzero(picture.levels[index].sum(axis=0))
    if len(present) == 1:
        value = float(stretched[present[0]])
        mean = _rounded_mean(value, picture.shapes[index], picture.inside.shape[1])
        variation = size * (value - mean) ** 2
    # Variances and covariance, each times the pixels less one. In a part that the object fills,
    # rounding must not make a covariance of none: there may be as little variance below it.
    covariance = inside - area * mean if area < size else 0.0
    above = 4 * mean * share * covariance
    below = (mean**2 + share**2) * (variation + size * share * (1 - share))
    if above != 0:
        return size * above / (below + EPSILON * (size - 1 + EPSILON))
    return size if below == 0 else 0.0


def _rounded_mean(value: float, shape: tuple[int, ...], width: int) -> float:
    """The mean of equal numbers as NumPy rounds it over a part of a picture.

    Where map and mask are constant, the similarity is 1 if the variance is 0, and 0 if rounding
    lets it be 1e-32. The published numbers have this in them, so it is rounded as they are.
    """
    return float(np.full((shape[0], width), value)[:, : shape[1]].mean())


def weighted_f_measure(picture: Picture, stretched: Floats) -> float:
    """Weighted F-measure (Margolin, Zelnik-Manor, Tal, CVPR 2014); 0 for a mask without an object.

    Errors inside the object are smoothed; one outside weighs 2 - 0.5 ** (distance / 5).
    """
    outside, inside = picture.levels.sum(axis=0)
    area = float(inside.sum())
    if area == 0:
        return 0.0
    wrong, right = float(outside @ stretched), float(inside @ stretched)
    part = picture.around(max(_far(picture, wrong + right, area), _REACH))
    values = cv2.LUT(picture.predicted[part], stretched.astype(np.float32))
    # OpenCV gives exact distances to the nearest zero, that is to the object.
    distance = cv2.distanceTransform(
        np.logical_not(picture.inside[part]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    rows, columns = picture.around(_REACH)
    near = np.s_[
        rows.start - part[0].start : rows.stop - part[0].start,
        columns.start - part[1].start : columns.stop - part[1].start,
    ]
    misses = _errors_inside(values[near], distance[near])
    distance *= np.float32(math.log(0.5) / _HALVING)
    discounts = cv2.exp(distance, distance)
    # Sums of rows in single precision lose nothing; a sum of all would. Inside, discounts are 1.
    discounted = float(np.einsum("ij,ij->i", values, discounts).sum(dtype=np.float64)) - right
    false_positives = 2 * wrong - discounted
    true_positives = area - misses
    recall = 1 - misses / area
    precision = true_positives / (true_positives + false_positives + EPSILON)
    return 2 * recall * precision / (recall + precision + EPSILON)


def _far(picture: Picture, total: float, area: float) -> int:
    """Distance from the object's box where all discounts together are nothing beside the object.

    A pixel outside the box and a margin is at least as far from the object, and so are all beyond.

    Args:
        picture: with an object.
        total: sum of the stretched map.
        area: pixels of the object.
    """
    (present,) = np.nonzero(picture.levels.sum(axis=(0, 1)))
    least, greatest = int(present[0]), int(present[-1])
    nearest = _negligible(total, area)
    if least == greatest:
        return nearest
    for margin in _MARGINS:
        part = picture.predicted[picture.around(margin)]
        near = (cv2.sumElems(part)[0] - least * part.size) / (greatest - least)
        nearest = min(nearest, max(margin, _negligible(total - near, area)))
    return nearest


def _negligible(errors: float, area: float) -> int:
    """Distance from which on the discounts of so much error are nothing beside the object."""
    return math.ceil(_HALVING * math.log2(max(errors / (_NOTHING * area), 1)))


def _errors_inside(values: NDArray[np.float32], distance: NDArray[np.float32]) -> float:
    """Sum of the errors of the object's pixels, smoothed where that makes them smaller.

    For the smoothing, a pixel beside the object has the error of the object's pixel next to it.

    Args:
        values: map (H, W) of 0..1, on the object and as far around it as the Gaussian sees.
        distance: (H, W) to the object, 0 inside.
    """
    # With a margin of nothing around them, no step leads out of the picture.
    height, width = distance.shape
    margin = _REACH + 1
    center = np.s_[margin : margin + height, margin : margin + width]
    errors = np.zeros((height + 2 * margin, width + 2 * margin), dtype=np.float32)
    np.subtract(1, values, out=errors[center])
    far = np.full_like(errors, _FAR)
    far[center] = distance
    inside = far == 0
    beside, nearest = _nearest(far, inside)
    # What lies further away keeps its error, but the Gaussian does not see it.
    errors.ravel()[beside] = errors.ravel()[nearest]
    smooth = cv2.sepFilter2D(errors, -1, _KERNEL, _KERNEL, borderType=cv2.BORDER_CONSTANT)
    pixels = inside.view(np.uint8)
    return cv2.mean(cv2.min(errors, smooth, smooth), pixels)[0] * cv2.countNonZero(pixels)


def _nearest(
    distance: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels outside the object that the Gaussian reaches from it, and their nearest ones inside.

    Both are flat indices. Of equally near pixels, the leftmost and then the topmost is taken, as
    SciPy's distance transform does.

    Args:
        distance: (H, W) from each pixel to the object; far at the border.
        inside: (H, W) the object.
    """
    beside = np.flatnonzero((distance < _REACH_DIAGONAL) ^ inside)
    squares = np.rint(np.square(distance.ravel()[beside])).astype(np.intp)
    steps = np.take(_STEPS @ (distance.shape[1], 1), squares, axis=0)
    steps += beside[:, None]
    first = inside.ravel().take(steps).argmax(axis=1)
    return beside, steps[np.arange(len(beside)), first]


def _steps() -> NDArray[np.intp]:
    """Steps (19, 8, 2) down and right of each squared length, the leftmost and topmost first.

    Where there are less than eight, the first is repeated.
    """
    reach = range(-_REACH - 1, _REACH + 2)
    table = np.zeros((2 * _REACH**2 + 1, 8, 2), dtype=np.intp)
    for length in range(len(table)):
        steps = [(d, r) for r in reach for d in reach if d**2 + r**2 == length]
        if steps:
            table[length] = (steps + 8 * steps[:1])[:8]
    return table


_STEPS = _steps()
_KERNEL = np.exp(-np.square(np.arange(-_REACH, _REACH + 1)) / 50)
_KERNEL /= _KERNEL.sum()
