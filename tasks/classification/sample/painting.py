"""Figures for the sample data: a shape in a texture, before a photograph.

Neither colour nor texture nor shape alone tells the class: colours are drawn anew for every figure,
each texture comes on every shape and each shape in every texture.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading.image import Picture

Points = NDArray[np.float64]
Coverage = NDArray[np.float32]
Places = NDArray[np.floating]

_DETAIL = 2  # painted at twice the size, so that the final shrinking smooths the edges


def polygon(corners: int, inner: float = 1.0) -> Points:
    """Corners (N, 2) of a regular polygon, or of a star with this inner radius, of radius 1."""
    count = corners if inner == 1 else 2 * corners
    angle = 2 * np.pi * np.arange(count) / count
    radius = np.where(np.arange(count) % 2, inner, 1.0)
    return np.column_stack([radius * np.sin(angle), -radius * np.cos(angle)])


SHAPES: dict[str, Points] = {"disc": polygon(48), "star": polygon(5, inner=0.42)}
"""Outlines of radius 1 around the origin that classes are named by."""

CLUTTER: tuple[Points, ...] = (*SHAPES.values(), polygon(3), polygon(4))
"""Outlines of plain figures that mean nothing."""


def stripes(x: Places, y: Places) -> Coverage:
    """Straight bars."""
    return _soft(np.sin(2 * np.pi * x))


def checks(x: Places, y: Places) -> Coverage:
    """A chequerboard."""
    return _soft(np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y))


def dots(x: Places, y: Places) -> Coverage:
    """Round dots on a square grid."""
    return _soft(np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y) - 0.8)


def zigzags(x: Places, y: Places) -> Coverage:
    """Bars that turn to and fro."""
    return _soft(np.sin(2 * np.pi * (x + np.abs(y % 2 - 1))))


def scales(x: Places, y: Places) -> Coverage:
    """Rows of arcs, each shifted by half of one, as on a fish."""
    row = np.floor(y)
    across = (x + row / 2) % 1 - 0.5
    return _soft(3 * (np.hypot(across, y - row) - 0.5))


def _soft(value: Places) -> Coverage:
    """1 where a value is above 0, 0 where it is below, with a narrow border between."""
    return np.asarray(np.clip(0.5 + 1.5 * value, 0, 1), np.float32)


TEXTURES: dict[str, Callable[[Places, Places], Coverage]] = {
    "checked": checks,
    "dotted": dots,
    "scaled": scales,
    "striped": stripes,
    "zigzag": zigzags,
}
"""Patterns from 0 to 1 of places (H, W), of which one period is 1."""

CLASSES = tuple(f"{texture}_{shape}" for texture in TEXTURES for shape in SHAPES)
"""Names of the ten classes, sorted."""


def paint(
    name: str, photographs: tuple[Picture, ...], side: int, generator: np.random.Generator
) -> Picture:
    """A picture (side, side, 3) of one class, with plain figures behind that mean nothing."""
    texture, _, shape = name.partition("_")
    wide = side * _DETAIL
    canvas = backdrop(photographs, wide, generator).astype(np.float32)
    for _ in range(generator.integers(0, 3)):
        radius = wide * generator.uniform(0.06, 0.14)
        outline = CLUTTER[generator.integers(len(CLUTTER))]
        mask = coverage(outline, wide, radius, generator.uniform(0, wide, 2), generator)
        _blend(canvas, mask, np.broadcast_to(generator.uniform(20, 235, 3), canvas.shape))
    radius = wide * generator.uniform(0.3, 0.44)
    center = wide / 2 + (wide / 2 - 0.9 * radius) * generator.uniform(-1, 1, 2)
    mask = coverage(SHAPES[shape], wide, radius, center, generator)
    rim = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=round(0.014 * wide))
    _blend(canvas, mask, np.broadcast_to(generator.uniform(20, 235, 3), canvas.shape))
    _blend(canvas, rim, _filling(texture, wide, generator))
    shrunk = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    shrunk += generator.normal(0, generator.uniform(1, 5), shrunk.shape)
    return np.asarray(np.clip(shrunk, 0, 255), np.uint8)


def backdrop(
    photographs: tuple[Picture, ...], side: int, generator: np.random.Generator
) -> Picture:
    """A random part of a photograph (side, side, 3) in other colours."""
    photograph = photographs[generator.integers(len(photographs))]
    length = int(min(photograph.shape[:2]) * generator.uniform(0.3, 0.9))
    top, left = (int(generator.integers(0, room - length)) for room in photograph.shape[:2])
    part = photograph[top : top + length, left : left + length]
    part = part[:, :: generator.choice([-1, 1]), generator.permutation(3)]
    light = generator.uniform(0.6, 1.2) * generator.uniform(0.8, 1.2, 3)
    resized = cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(resized * light, 0, 255), np.uint8)


def coverage(
    outline: Points,
    side: int,
    radius: float,
    center: NDArray[np.float64],
    generator: np.random.Generator,
) -> Coverage:
    """Mask (side, side) from 0 to 1 of an outline that is turned, and squeezed a little."""
    angle = generator.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    view = np.eye(2) + generator.uniform(-0.14, 0.14, (2, 2))
    outline = outline @ turn.T @ view.T * radius + center
    mask = np.zeros((side, side), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return np.asarray(mask / 255, np.float32)


def _filling(texture: str, side: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Colours (side, side, 3) of a texture in two random colours of different brightness."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    period = side * generator.uniform(0.12, 0.18)
    cos, sin = (float(value) / period for value in (np.cos(angle), np.sin(angle)))
    shift = generator.uniform(0, 2, 2).tolist()
    across, down = x * cos + y * sin + shift[0], y * cos - x * sin + shift[1]
    pattern = TEXTURES[texture](across, down)[..., None]
    bright = generator.uniform(140, 250, 3).astype(np.float32)
    dark = generator.uniform(5, 110, 3).astype(np.float32)
    if generator.random() < 0.5:
        bright, dark = dark, bright
    return np.asarray(dark + pattern * (bright - dark), np.float32)


def _blend(canvas: NDArray[np.float32], mask: Coverage, colours: NDArray[np.floating]) -> None:
    canvas += mask[..., None] * (colours - canvas)
