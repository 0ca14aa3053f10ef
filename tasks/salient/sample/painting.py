"""The sample data's pictures: objects of varied shape and texture in front of photographs."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.sample import backgrounds
from tasks.salient.sample.shapes import coverage, random_shape

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEAST_CONTRAST = 50
"""Distance in CIE Lab that an object's mean colour has from what is behind it, if that is found."""


@dataclass(frozen=True)
class Scenery:
    """The photographs of a split: what stands behind objects, and what some are cut from."""

    photographs: tuple[Picture, ...]


@dataclass(frozen=True)
class Scene:
    """A picture with its truth."""

    picture: Picture
    """(H, W, 3) RGB"""
    mask: Picture
    """(H, W), 255 where there is an object, with soft borders."""


def gather(held_out: bool) -> Scenery:
    """Scenery of a split: the held-out pictures show the other halves of the photographs."""
    halves: list[Picture] = []
    for photograph in backgrounds().values():
        rows, columns = photograph.shape[:2]
        if columns > rows:
            halves.append(
                photograph[:, columns // 2 :] if held_out else photograph[:, : columns // 2]
            )
        else:
            halves.append(photograph[rows // 2 :] if held_out else photograph[: rows // 2])
    return Scenery(tuple(halves))


def paint(scenery: Scenery, generator: np.random.Generator) -> Scene:
    """A picture of one to three objects, with small things about that do not count."""
    width, height = int(generator.integers(180, 261)), int(generator.integers(150, 221))
    picture = _backdrop(scenery, width, height, generator)
    mask, nothing = np.zeros((2, height, width), dtype=np.float32)
    for _ in range(generator.integers(0, 7)):
        x, y = generator.uniform((0, 0), (width, height))
        _lay(picture, nothing, scenery, (x, y), generator.uniform(2, 5), generator)
    count = int(generator.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))
    for x, y in _places(count, generator) * (width, height):
        size = generator.uniform(0.22, 0.4 if count == 1 else 0.26) * min(width, height)
        _lay(picture, mask, scenery, (x, y), size, generator)
    picture += generator.normal(0, generator.uniform(1, 6), picture.shape).astype(np.float32)
    return Scene(np.clip(picture, 0, 255).astype(np.uint8), np.rint(255 * mask).astype(np.uint8))


def edges(mask: Picture) -> Picture:
    """The outline (H, W) of a mask: 255 on a line of two pixels, 0 elsewhere."""
    solid = (mask > 127).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(255 * (cv2.dilate(solid, cross) - cv2.erode(solid, cross)), np.uint8)


def _backdrop(scenery: Scenery, width: int, height: int, generator: np.random.Generator) -> Floats:
    """Two photographs in one (H, W, 3), in other colours and out of focus."""
    first, second = (
        _part(
            scenery.photographs[generator.integers(len(scenery.photographs))],
            width, height, generator.uniform(0.4, 1.0), generator,
        ).astype(np.float32)
        for _ in range(2)
    )  # fmt: skip
    mixed = first + generator.uniform(0, 0.5) * (second - first)
    mixed = cv2.GaussianBlur(mixed, (0, 0), generator.uniform(0.8, 2.5))
    hue, saturation, value = cv2.split(cv2.cvtColor(mixed / 255, cv2.COLOR_RGB2HSV))
    hue = np.mod(hue + generator.uniform(0, 360), 360)
    saturation = np.clip(
        generator.uniform(0.3, 1.5) * saturation + generator.uniform(0, 0.45), 0, 1
    ).astype(np.float32)
    colours = cv2.merge([hue, saturation, value])
    tint = generator.uniform(0.7, 1.1) * generator.uniform(0.85, 1.15, 3)
    return np.asarray(255 * cv2.cvtColor(colours, cv2.COLOR_HSV2RGB) * tint, np.float32)


def _part(
    photograph: Picture, width: int, height: int, share: float, generator: np.random.Generator
) -> Picture:
    """A random part of a photograph, maybe mirrored, at the given size."""
    rows = share * min(photograph.shape[0], photograph.shape[1] * height / width)
    columns = rows * width / height
    top = int(generator.uniform(0, photograph.shape[0] - rows))
    left = int(generator.uniform(0, photograph.shape[1] - columns))
    part = photograph[top : top + max(2, int(rows)), left : left + max(2, int(columns))]
    resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized[:, :: generator.choice([-1, 1])], np.uint8)


def _places(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Relative positions (count, 2), side by side or one above the other."""
    if count == 1:
        return generator.uniform(0.28, 0.72, (1, 2))
    along = (np.arange(count) + generator.uniform(0.4, 0.6, count)) / count
    across = generator.uniform(0.3, 0.7, count)
    return np.stack([along, across][:: generator.choice([-1, 1])], axis=1)


def _lay(
    picture: Floats,
    mask: Floats,
    scenery: Scenery,
    center: tuple[float, float],
    size: float,
    generator: np.random.Generator,
) -> None:
    """Put an object with its shadow into a picture (H, W, 3) and into its mask (H, W)."""
    # All that it can cover lies in this window.
    left, top = (max(0, int(middle - 2 * size)) for middle in center)
    right, bottom = (int(middle + 2 * size) + 2 for middle in center)
    window = np.s_[top:bottom, left:right]
    here, (x, y) = picture[window], (center[0] - left, center[1] - top)
    height, width = here.shape[:2]
    covered = coverage(random_shape(generator), (x, y), size, height, width)
    offset = np.array([[1, 0, 0.12 * size], [0, 1, 0.15 * size]], dtype=np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(covered, offset, (width, height)), (0, 0), 0.1 * size)
    here *= 1 - generator.uniform(0, 0.5) * shadow[..., None]
    behind = np.array(cv2.mean(here, (covered > 0.5).astype(np.uint8))[:3])
    texture = _distinct_texture(scenery, height, width, behind, generator)
    # Light falls from one side.
    rows, columns = np.ogrid[0:height, 0:width]
    angle, strength = generator.uniform((0, 0.05), (2 * np.pi, 0.3))
    slope = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / size
    texture *= np.clip(1 + strength * slope, 0.5, 1.5).astype(np.float32)[..., None]
    here += (texture - here) * covered[..., None]
    np.maximum(mask[window], covered, out=mask[window])


def _distinct_texture(
    scenery: Scenery,
    height: int,
    width: int,
    behind: NDArray[np.float64],
    generator: np.random.Generator,
) -> Floats:
    """A texture (H, W, 3) that stands out from a colour; the last of a few tries if none does."""
    for _ in range(12):
        texture = _texture(scenery, height, width, generator)
        if np.linalg.norm(_lab(texture.mean(axis=(0, 1))) - _lab(behind)) > LEAST_CONTRAST:
            break
    return texture


def _lab(colour: NDArray[np.floating]) -> Floats:
    pixel = np.asarray(np.clip(colour, 0, 255) / 255, np.float32).reshape(1, 1, 3)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0])


def _texture(scenery: Scenery, height: int, width: int, generator: np.random.Generator) -> Floats:
    """Stripes, checks, dots, clouds or a piece of a photograph (H, W, 3), in two random colours."""
    first, second = (_colour(generator) for _ in range(2))
    kind = generator.integers(5)
    if kind == 4:
        fabric = scenery.photographs[generator.integers(len(scenery.photographs))]
        part = _part(fabric, width, height, generator.uniform(0.3, 1.0), generator)
        return np.asarray(part * (0.35 + first / 255), np.float32)
    rows, columns = np.ogrid[0:height, 0:width]
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    angle, period = generator.uniform(0, np.pi), generator.uniform(6, 22)
    right, down = (2 * np.pi / period * np.float32(part) for part in (np.cos(angle), np.sin(angle)))
    along, across = columns * right + rows * down, rows * right - columns * down
    if kind == 0:
        share = (np.sin(along) > 0).astype(np.float32)
    elif kind == 1:
        share = (np.sin(along) * np.sin(across) > 0).astype(np.float32)
    elif kind == 2:
        share = (np.cos(along) + np.cos(across) > 0.6).astype(np.float32)
    else:
        coarse = generator.random((5, 6)).astype(np.float32)
        share = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    share = cv2.GaussianBlur(share, (0, 0), 0.7)[..., None]
    return np.asarray(first * share + second * (1 - share), np.float32)


def _colour(generator: np.random.Generator) -> Floats:
    """A colour (3,) in RGB, from grey to vivid."""
    hue, saturation, value = generator.uniform((0, 0.0, 0.25), (360, 0.9, 1.0))
    pixel = np.array([[[hue, saturation, value]]], dtype=np.float32)
    return np.asarray(255 * cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])
