"""Surfaces of masks and the distances between them, by two definitions that are in use.

`elements` cuts the surface at voxel corners into elements that have areas, as DeepMind's
surface-distance defines it; `border` takes the border voxels, as medpy does. Both work within the
mask's bounding box and search a tree of points, so that no distance map of the volume is needed.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from tasks.volumes.volume import Spacing

Mask = NDArray[np.bool_]
"""(Z, Y, X)"""
Numbers = NDArray[np.float64]


class Surface(NamedTuple):
    """A mask's surface as points."""

    points: Numbers
    """(N, 3) in millimetres."""
    areas: Numbers
    """(N,) square millimetres that each one stands for."""


class Distances(NamedTuple):
    """From each point of two surfaces to the nearest point of the other one, in millimetres."""

    of_truth: Numbers
    truth_areas: Numbers
    of_prediction: Numbers
    prediction_areas: Numbers

    def hausdorff(self, share: float) -> float:
        """The distance within which this share of either surface lies: the larger one of both."""
        return max(
            _within(self.of_truth, self.truth_areas, share),
            _within(self.of_prediction, self.prediction_areas, share),
        )

    def average(self) -> tuple[float, float]:
        """Mean distance, by area, from truth to prediction and from prediction to truth."""
        return (
            float(np.average(self.of_truth, weights=self.truth_areas)),
            float(np.average(self.of_prediction, weights=self.prediction_areas)),
        )

    def agreement(self, tolerance: float) -> float:
        """Share of both surfaces' area that lies within a tolerance of the other one (NSD)."""
        near = self.truth_areas[self.of_truth <= tolerance].sum()
        near += self.prediction_areas[self.of_prediction <= tolerance].sum()
        return float(near / (self.truth_areas.sum() + self.prediction_areas.sum()))

    def pooled(self) -> Numbers:
        """Both directions' distances together."""
        return np.concatenate([self.of_truth, self.of_prediction])


def _within(distances: Numbers, areas: Numbers, share: float) -> float:
    order = np.argsort(distances)
    reached = np.cumsum(areas[order]) / areas.sum()
    place = int(np.searchsorted(reached, share))
    return float(distances[order][min(place, len(order) - 1)])


def box_of(mask: Mask) -> tuple[slice, slice, slice] | None:
    """The smallest box around a mask; None of an empty one."""
    found = []
    rest = mask
    for axis in range(3):
        # Cut at once, so that the later axes have less to look at.
        others = tuple(one for one in range(3) if one != axis)
        there = np.flatnonzero(rest.any(axis=others))
        if not there.size:
            return None
        here = slice(int(there[0]), int(there[-1]) + 1)
        rest = rest[(slice(None),) * axis + (here,)]
        found.append(here)
    return found[0], found[1], found[2]


def elements(mask: Mask, spacing: Spacing) -> Surface:
    """The surface between a mask's voxels and others; what touches the volume's end is closed.

    A point stands at each corner of voxels that are not all alike, with the area of the surface of
    marching cubes between the eight voxels around it.
    """
    box = box_of(mask)
    if box is None:
        return Surface(np.empty((0, 3)), np.empty(0))
    padded = np.pad(mask[box].view(np.uint8), 1)
    pairs = padded[..., :-1] | (padded[..., 1:] << 1)
    fours = pairs[:, :-1] | (pairs[:, 1:] << 2)
    eights = fours[:-1] | (fours[1:] << 4)
    # One comparison for "neither 0 nor 255": of bytes, 0 less 1 is 255.
    flat = np.flatnonzero((eights - np.uint8(1)) < 254)
    places = np.stack(np.unravel_index(flat, eights.shape), axis=1)
    first = np.array([one.start for one in box])
    areas = _areas(spacing)[eights.ravel()[flat]]
    return Surface((places + first) * np.array(spacing), areas)


def border(mask: Mask, spacing: Spacing) -> Surface:
    """The voxels of a mask with a face to others or to the volume's end, all of one weight."""
    box = box_of(mask)
    if box is None:
        return Surface(np.empty((0, 3)), np.empty(0))
    inside = mask[box]
    rim = inside & ~ndimage.binary_erosion(inside)
    places = np.argwhere(rim) + np.array([one.start for one in box])
    return Surface(places * np.array(spacing), np.ones(len(places)))


def distances(truth: Surface, prediction: Surface) -> Distances:
    """Between two surfaces, neither of them empty."""
    return Distances(
        _nearest(truth.points, prediction.points),
        truth.areas,
        _nearest(prediction.points, truth.points),
        prediction.areas,
    )


def _nearest(points: Numbers, others: Numbers) -> Numbers:
    tree: Any = cKDTree(others, balanced_tree=False, compact_nodes=False)
    found, _ = tree.query(points)
    return np.asarray(found, np.float64)


@lru_cache(maxsize=64)
def _areas(spacing: Spacing) -> Numbers:
    """(256,) square millimetres of surface within a cube of eight voxels' centres.

    Bit x + 2 y + 4 z of the number says whether that voxel is inside. The surface goes through the
    middle of each edge between an inner and an outer voxel.
    """
    from skimage.measure import marching_cubes  # it takes a second that only scores have to pay

    areas = np.zeros(256)
    for number in range(1, 255):
        cube = np.array([(number >> bit) & 1 for bit in range(8)], np.float32).reshape(2, 2, 2)
        corners, faces, *_ = marching_cubes(cube, 0.5)
        first, second, third = (corners * np.array(spacing))[faces.T]
        normals = np.cross(second - first, third - first)
        areas[number] = np.linalg.norm(normals, axis=1).sum() / 2
    return areas
