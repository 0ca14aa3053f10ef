"""A body of ellipsoids in Hounsfield units: organs with texture, lesions, and what looks alike."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.volumes.volume import Labels, Shape, Spacing, Values

CLASSES = ("background", "liver", "kidney", "lesion")
LIVER, KIDNEY, LESION = 1, 2, 3

_AIR, _FAT, _MUSCLE, _BONE, _CYST = -1000.0, -100.0, 40.0, 600.0, 10.0
_LIVER_HU, _KIDNEY_HU = (95.0, 110.0), (150.0, 175.0)
_LESION_HU = (35.0, 65.0)
_NOISE = 15.0
_WITHOUT = 0.2
"""Share of the bodies without lesions."""

Numbers = NDArray[np.float64]
Field = NDArray[np.float32]


class Phantom(NamedTuple):
    """A scan and its labels (Z, Y, X)."""

    values: Values
    labels: Labels


class _Body:
    """Paints ellipsoids, in millimetres from the body's middle: head, back, left."""

    def __init__(self, shape: Shape, spacing: Spacing, generator: np.random.Generator) -> None:
        axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
        self.z, self.y, self.x = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.half = [n * s / 2 for n, s in zip(shape, spacing, strict=True)]
        self.generator = generator
        self.hu = np.full(shape, _AIR, np.float32)
        self.labels = np.zeros(shape, np.uint8)

    def inside(self, centre: Numbers, radii: Numbers, turn: float = 0.0) -> NDArray[np.bool_]:
        """Voxels of an ellipsoid that is turned by so many radians in the slice."""
        y, x = self.y - centre[1], self.x - centre[2]
        across = np.cos(turn) * x + np.sin(turn) * y
        along = np.cos(turn) * y - np.sin(turn) * x
        ratios = ((self.z - centre[0]) / radii[0], along / radii[1], across / radii[2])
        found: NDArray[np.bool_] = ratios[0] ** 2 + ratios[1] ** 2 + ratios[2] ** 2 <= 1
        return found

    def texture(self, deviation: float, size: float) -> Field:
        """A smooth field of this deviation."""
        field = self.generator.standard_normal(self.hu.shape, np.float32)
        smooth = ndimage.gaussian_filter(field, (size / 2, size, size))
        return np.asarray(smooth * (deviation / smooth.std()), np.float32)


def phantom(shape: Shape, spacing: Spacing, generator: np.random.Generator) -> Phantom:
    """A body with two organs and their lesions.

    Args:
        shape: slices, rows and columns.
        spacing: millimetres between them.
        generator: of all that varies.
    """
    body = _Body(shape, spacing, generator)
    _paint_trunk(body)
    liver = _paint_organs(body)
    if generator.random() >= _WITHOUT:
        _paint_lesions(body, liver, spacing)
    noisy = ndimage.gaussian_filter(body.hu, 0.5)
    noisy += generator.standard_normal(shape, np.float32) * np.float32(_NOISE)
    return Phantom(np.clip(np.rint(noisy), -1024, 3000).astype(np.int16), body.labels)


def _paint_trunk(body: _Body) -> None:
    """Fat around muscle, a spine at the back, and cysts that are no lesions."""
    half, generator = body.half, body.generator
    middle = np.zeros(3)
    outer = np.array([half[0] * 40, half[1] * 0.86, half[2] * 0.94])  # a column through all slices
    body.hu[body.inside(middle, outer)] = _FAT
    muscle = body.inside(middle, outer - np.array([0, 5, 5]) * generator.uniform(0.8, 1.4))
    body.hu[muscle] = (_MUSCLE + body.texture(8, 2))[muscle]
    spine = np.array([0, half[1] * 0.55, generator.uniform(-2, 2)])
    body.hu[body.inside(spine, np.array([half[0] * 40, 7, 8]))] = _BONE
    for _ in range(int(generator.integers(1, 3))):
        place = np.array([
            generator.uniform(-0.6, 0.6) * half[0], generator.uniform(-0.1, 0.3) * half[1],
            generator.uniform(0.45, 0.6) * half[2],
        ])  # fmt: skip
        body.hu[body.inside(place, np.full(3, generator.uniform(3, 5)))] = _CYST


def _paint_organs(body: _Body) -> NDArray[np.bool_]:
    """The liver at the patient's right in front, the kidneys behind; returns the liver."""
    half, generator = body.half, body.generator
    vary = generator.uniform
    place = np.array([vary(-0.1, 0.1) * half[0], -0.22 * half[1], -0.36 * half[2]])
    radii = np.array(
        [vary(0.6, 0.75) * half[0], vary(0.42, 0.5) * half[1], vary(0.4, 0.48) * half[2]]
    )
    liver = body.inside(place, radii, vary(-0.4, 0.4))
    liver &= ~body.inside(np.array([0, 0.3 * half[1], 0.1 * half[2]]), 0.3 * np.array(half))
    body.hu[liver] = (vary(*_LIVER_HU) + body.texture(7, 2))[liver]
    body.labels[liver] = LIVER
    for side in (-1, 1):
        place = np.array([vary(-0.2, 0.1) * half[0], 0.38 * half[1], side * 0.45 * half[2]])
        radii = np.array([vary(0.35, 0.45) * half[0], vary(8, 10), vary(7, 9)])
        kidney = body.inside(place, radii, side * vary(0.2, 0.6)) & ~liver
        kidney &= body.hu < _BONE / 2
        body.hu[kidney] = (vary(*_KIDNEY_HU) + body.texture(7, 2))[kidney]
        body.labels[kidney] = KIDNEY
    return np.asarray(body.labels == LIVER)


def _paint_lesions(body: _Body, liver: NDArray[np.bool_], spacing: Spacing) -> None:
    """One to four lesions of the liver, of 8 to 20 mm, some at its border, of unlike contrast."""
    generator = body.generator
    places = np.argwhere(liver)
    middle = (np.array(liver.shape) - 1) / 2
    for _ in range(int(generator.integers(1, 5))):
        centre = (places[int(generator.integers(len(places)))] - middle) * np.array(spacing)
        radii = generator.uniform(4.5, 9.5) * generator.uniform(0.85, 1.15, 3)
        lesion = body.inside(centre, radii, generator.uniform(0, 3)) & liver
        body.hu[lesion] = (generator.uniform(*_LESION_HU) + body.texture(5, 1.5))[lesion]
        body.labels[lesion] = LESION
