"""A volume in one orientation, where its file's voxels lie, and how it is brought to other sizes.

Everything is worked in one orientation: slices from the feet to the head, rows from front to back,
columns from the patient's right to left (x L, y P, z S), so that a slice looks as radiologists see
it. What is found goes back to the file's own voxels.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.int16]
"""(Z, Y, X) in Hounsfield units."""
Labels = NDArray[np.uint8]
"""(Z, Y, X) numbers of classes."""
Spacing = tuple[float, float, float]
"""Millimetres between slices, rows and columns."""
Shape = tuple[int, int, int]
Array = TypeVar("Array", bound=NDArray[Any])

AIR = -1024
"""HU of what lies outside of the scan."""

_LEFT_BACK_HEAD = np.array([-1, -1, 1])
"""Signs of the working directions x, y, z in the world's R, A, S."""
_RIGHT_ANGLE = 0.02
"""Largest cosine between two axes."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a file lie."""

    shape: Shape
    """As stored."""
    affine: NDArray[np.float64]
    """(4, 4) from stored indices to millimetres to the right, front and head (R, A, S)."""
    header: Any = field(default=None, compare=False)
    """The NIfTI header that they are from, if any."""

    @property
    def spacing(self) -> Spacing:
        """Of the working orientation."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)[list(self._order)].tolist()
        return z, y, x

    @cached_property
    def _order(self) -> tuple[int, int, int]:
        """The stored axes that are nearest to z, y and x."""
        cosines = np.abs(self._cosines)
        every = itertools.permutations(range(3))
        best = max(every, key=lambda axes: sum(cosines[2 - w, axes[w]] for w in range(3)))
        return best[0], best[1], best[2]

    @property
    def _cosines(self) -> NDArray[np.float64]:
        """(3, 3): share of each stored axis (columns) in each direction of the world (rows)."""
        matrix = self.affine[:3, :3]
        cosines: NDArray[np.float64] = matrix / np.linalg.norm(matrix, axis=0)
        return cosines

    @property
    def _turns(self) -> tuple[slice, slice, slice]:
        """Which of the working axes run against their stored ones."""
        steps = []
        for working, stored in enumerate(self._order):
            world = 2 - working
            same = self._cosines[world, stored] * _LEFT_BACK_HEAD[world] > 0
            steps.append(slice(None, None, 1 if same else -1))
        return steps[0], steps[1], steps[2]

    def fault(self) -> str | None:
        """Why volumes on this grid cannot be worked with, or None."""
        matrix = self.affine[:3, :3]
        lengths = np.linalg.norm(matrix, axis=0)
        if not np.isfinite(self.affine).all() or lengths.min() < 1e-6:
            return f"its affine gives voxels the sizes {lengths.round(4).tolist()} mm"
        between = self._cosines.T @ self._cosines - np.eye(3)
        if np.abs(between).max() > _RIGHT_ANGLE:
            return "its axes are not at right angles, as of a tilted gantry: resample it first"
        return None

    def canonical(self, stored: Array) -> Array:
        """A stored array (3-D) in the working orientation (Z, Y, X): a view."""
        turned: Any = stored.transpose(self._order)[self._turns]
        found: Array = turned
        return found

    def restored(self, canonical: Array) -> Array:
        """A working array (Z, Y, X) on the stored voxels: a view."""
        back = np.argsort(self._order)
        turned: Any = canonical[self._turns].transpose(back)
        found: Array = turned
        return found


def grid_of(shape: Shape, spacing: Spacing) -> Grid:
    """The grid of an array (Z, Y, X) that is in the working orientation."""
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    return Grid((shape[2], shape[1], shape[0]), affine)


@dataclass(frozen=True)
class Volume:
    """A scan in the working orientation."""

    values: Values
    grid: Grid

    @property
    def spacing(self) -> Spacing:
        """Millimetres between slices, rows and columns."""
        return self.grid.spacing

    @property
    def shape(self) -> Shape:
        """Slices, rows and columns."""
        z, y, x = self.values.shape
        return z, y, x

    @property
    def millilitres(self) -> float:
        """Of a voxel."""
        return float(np.prod(self.spacing)) / 1000


def working_shape(volume: Volume, spacing: Spacing) -> Shape:
    """The shape of a volume that is brought to a spacing; 0 keeps an axis as it is."""
    z, y, x = (
        max(1, round(length * own / wanted)) if wanted else length
        for length, own, wanted in zip(volume.shape, volume.spacing, spacing, strict=True)
    )
    return z, y, x


def places(wanted: int, given: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """For each of `wanted` evenly spread places the two of `given` around it, and the upper's part.

    Both cover the same length, as voxels do: the first place lies half a step from the border.
    """
    exact = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    lower = np.floor(exact).astype(np.int64)
    return lower, np.minimum(lower + 1, given - 1), exact - lower


def slices_of(values: Values, shape: Shape) -> Callable[[int], Values]:
    """What gives the slices (Y, X) of a volume in another shape, one at a time, interpolated."""
    lower, upper, part = places(shape[0], len(values))
    same = values.shape[1:] == shape[1:]

    def at(index: int) -> Values:
        first, second, share = lower[index], upper[index], float(part[index])
        if same and not share:
            own: Values = values[first]
            return own
        mixed = values[first].astype(np.float32)
        if share:
            mixed = (1 - share) * mixed + share * values[second]
        found: Values = np.rint(mixed if same else _resized(mixed, shape[1:])).astype(np.int16)
        return found

    return at


def _resized(plane: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    shrinks = size[0] * size[1] < plane.size
    # OpenCV's linear interpolation aliases when it shrinks.
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=method), np.float32)


def resampled(values: Values, shape: Shape) -> Values:
    """A volume in another shape, interpolated."""
    at = slices_of(values, shape)
    found = np.empty(shape, np.int16)
    for index in range(shape[0]):
        found[index] = at(index)
    return found


def nearest(labels: Labels, shape: Shape) -> Labels:
    """Labels in another shape, each that of the nearest voxel."""
    axes = [
        np.minimum((np.arange(wanted) + 0.5) * given / wanted, given - 1).astype(np.int64)
        for wanted, given in zip(shape, labels.shape, strict=True)
    ]
    return np.ascontiguousarray(labels[np.ix_(*axes)])
