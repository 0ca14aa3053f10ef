"""Outlines of the sample data's objects, around the origin and about one unit in radius.

A shape is a list of parts; the area between a part's contours, each (N, 2), belongs to the object.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Contour = NDArray[np.float64]
Shape = list[list[Contour]]

_TURN = np.linspace(0, 2 * np.pi, 96, endpoint=False)


def random_shape(generator: np.random.Generator) -> Shape:
    """A shape of a random kind, turned and squeezed."""
    kind = KINDS[generator.integers(len(KINDS))]
    angle, squeeze = generator.uniform(0, 2 * np.pi), generator.uniform(0.6, 1.0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [[contour * (1, squeeze) @ turn for contour in part] for part in kind(generator)]


def coverage(
    shape: Shape, center: tuple[float, float], size: float, rows: int, columns: int
) -> NDArray[np.float32]:
    """How much of each pixel (rows, columns) of a picture a shape covers, 0..1."""
    canvas = np.zeros((rows, columns), dtype=np.uint8)
    for part in shape:
        # Coordinates are whole numbers of sixteenths of a pixel.
        points = [np.rint(16 * (size * contour + center)).astype(np.int32) for contour in part]
        cv2.fillPoly(canvas, points, 255, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6) / np.float32(255), np.float32)


def blob(generator: np.random.Generator) -> Shape:
    """A smooth closed curve."""
    return [[_wavy(generator, 0.35)]]


def polygon(generator: np.random.Generator) -> Shape:
    """Three to seven corners."""
    corners = int(generator.integers(3, 8))
    angles = 2 * np.pi * (np.arange(corners) + generator.uniform(-0.3, 0.3, corners)) / corners
    return [[_polar(angles, generator.uniform(0.75, 1.1, corners))]]


def star(generator: np.random.Generator) -> Shape:
    """Four to eight rays."""
    rays = int(generator.integers(4, 9))
    radii = np.tile([1.1, generator.uniform(0.35, 0.6)], rays)
    return [[_polar(np.arange(2 * rays) * np.pi / rays, radii)]]


def ring(generator: np.random.Generator) -> Shape:
    """A closed curve with a hole."""
    outer = _wavy(generator, 0.15)
    return [[outer, outer * generator.uniform(0.4, 0.6)]]


def bar(generator: np.random.Generator) -> Shape:
    """A beam, or a cross of two."""
    long, thick = generator.uniform(1.1, 1.4), generator.uniform(0.22, 0.4)
    beam = np.array([[-long, -thick], [long, -thick], [long, thick], [-long, thick]])
    return [[beam]] if generator.random() < 0.5 else [[beam], [beam[:, ::-1]]]


def creature(generator: np.random.Generator) -> Shape:
    """A body with a head and legs."""
    parts = [_ellipse(0, 0, 0.8, 0.45), _ellipse(0.95, generator.uniform(-0.6, -0.2), 0.3, 0.28)]
    legs = int(generator.integers(2, 5))
    for x in np.linspace(-0.55, 0.55, legs) + generator.uniform(-0.08, 0.08, legs):
        parts.append(_ellipse(x, 0.65, 0.1, generator.uniform(0.35, 0.5)))
    return [[part] for part in parts]


KINDS: tuple[Callable[[np.random.Generator], Shape], ...] = (
    blob, blob, polygon, star, ring, bar, creature,
)  # fmt: skip


def _wavy(generator: np.random.Generator, depth: float) -> Contour:
    waves = np.arange(2, 7)[:, None]
    heights = depth * generator.normal(0, 1, (5, 1)) / waves
    phases = generator.uniform(0, 2 * np.pi, (5, 1))
    return _polar(_TURN, np.clip(1 + (heights * np.cos(waves * _TURN + phases)).sum(0), 0.4, 1.6))


def _polar(angles: NDArray[np.float64], radii: NDArray[np.float64]) -> Contour:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _ellipse(x: float, y: float, across: float, down: float) -> Contour:
    return np.stack([x + across * np.cos(_TURN), y + down * np.sin(_TURN)], axis=1)
