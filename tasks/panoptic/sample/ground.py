"""Landscapes of sky, ground, water and wall: each has a pattern and a range of colours of its own.

Colours overlap, so that a pixel alone does not tell what it shows.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from common.sample.scenery import Scenery

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

KINDS = ("sky", "ground", "water", "wall")
"""In the order of their numbers, from 1 on."""

SKY, GROUND, WATER, WALL = range(1, 5)
_COLOURS = {
    SKY: ((120, 165, 225), (175, 180, 195), (225, 180, 140)),
    GROUND: ((95, 140, 70), (150, 120, 80), (195, 175, 125)),
    WATER: ((50, 95, 140), (60, 130, 130), (95, 110, 130)),
    WALL: ((160, 85, 65), (150, 145, 140), (205, 195, 175)),
}
"""Red, green and blue that each comes in."""
_OFTEN = 0.65
"""Share of the pictures with a wall, and of those with water."""
_EDGE = 3
"""Pixels; so wide is the strip between two kinds that nobody labelled."""


def landscape(
    scenery: Scenery, width: int, height: int, generator: np.random.Generator
) -> tuple[Picture, NDArray[np.uint8]]:
    """A picture (H, W, 3) and the kind of each pixel (H, W), 0 in the strips between them."""
    kinds = _kinds(width, height, generator)
    picture = np.zeros((height, width, 3), np.float32)
    paints = {SKY: _sky, GROUND: _ground, WATER: _water, WALL: _wall}
    for kind, paint in paints.items():
        here = kinds == kind
        light = paint(width, height, scenery, generator)
        choices = _COLOURS[kind]
        base = np.array(choices[generator.integers(len(choices))], np.float32)
        base += generator.normal(0, 12, 3).astype(np.float32)
        picture[here] = base * light[here][:, None]
    square = np.ones((_EDGE, _EDGE), np.uint8)
    edge = cv2.dilate(kinds, square) != cv2.erode(kinds, square)
    return np.clip(picture, 0, 255).astype(np.uint8), np.where(edge, 0, kinds).astype(np.uint8)


def _kinds(width: int, height: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """What lies where: sky above a curved horizon, ground below, at times a wall and water."""
    rows, columns = np.mgrid[:height, :width]
    horizon = _curve(width, generator.uniform(0.3, 0.55) * height, 0.05 * height, generator)
    kinds = np.where(rows < horizon, SKY, GROUND).astype(np.uint8)
    if generator.random() < _OFTEN:
        middle, half = generator.uniform(0, 1) * width, generator.uniform(0.15, 0.35) * width
        top = generator.uniform(0.05, 0.25) * height
        foot = horizon + generator.uniform(0, 0.08) * height
        kinds[(np.abs(columns - middle) < half) & (rows > top) & (rows < foot)] = WALL
    if generator.random() < _OFTEN:
        if generator.random() < 0.5:
            shore = _curve(width, generator.uniform(0.65, 0.85) * height, 0.05 * height, generator)
            kinds[rows > shore] = WATER
        else:
            centre = generator.uniform(0.2, 0.8) * width, generator.uniform(0.68, 0.9) * height
            reach = generator.uniform(0.22, 0.45) * width, generator.uniform(0.1, 0.2) * height
            apart = ((columns - centre[0]) / reach[0]) ** 2 + ((rows - centre[1]) / reach[1]) ** 2
            kinds[(apart < 1) & (kinds == GROUND)] = WATER
    return kinds


def _curve(
    width: int, level: float, swing: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Heights (width,) around a level."""
    places = np.arange(width) / width
    waves = generator.uniform(0.5, 2.5), generator.uniform(2.5, 5)
    phases = generator.uniform(0, 2 * np.pi, 2)
    first, second = (
        np.sin(2 * np.pi * wave * places + phase) for wave, phase in zip(waves, phases, strict=True)
    )
    return np.asarray(level + swing * first + 0.4 * swing * second)


def _sky(width: int, height: int, _: Scenery, generator: np.random.Generator) -> Floats:
    """Brighter below, with clouds."""
    coarse = generator.uniform(0, 1, (5, 7)).astype(np.float32)
    clouds = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    falling = np.linspace(0.85, 1.15, height, dtype=np.float32)[:, None]
    return np.asarray(falling + 0.25 * np.clip(clouds - 0.6, 0, 1), np.float32)


def _ground(width: int, height: int, scenery: Scenery, generator: np.random.Generator) -> Floats:
    """Grains and tufts of a photographed texture."""
    texture = scenery.textures[generator.integers(len(scenery.textures))]
    down = int(generator.integers(0, texture.shape[0] - height))
    right = int(generator.integers(0, texture.shape[1] - width))
    grain = texture[down : down + height, right : right + width]
    speckles = generator.normal(0, 0.12, (height, width)).astype(np.float32)
    return np.asarray(1 + 1.2 * (grain - 1) + speckles, np.float32)


def _water(width: int, height: int, _: Scenery, generator: np.random.Generator) -> Floats:
    """Level ripples, wider towards the foot of the picture."""
    rows, columns = np.mgrid[:height, :width]
    depth = 1 + rows / height
    swing = 1.5 * np.sin(columns / generator.uniform(6, 14) + generator.uniform(0, 6))
    ripples = np.sin((rows + swing) * generator.uniform(1.6, 2.6) / depth)
    return np.asarray(0.95 + 0.16 * ripples, np.float32)


def _wall(width: int, height: int, _: Scenery, generator: np.random.Generator) -> Floats:
    """Courses of bricks with pale joints."""
    high, long = int(generator.integers(5, 9)), int(generator.integers(11, 18))
    rows, columns = np.mgrid[:height, :width]
    course = rows // high
    brick = (columns + (course % 2) * (long // 2)) // long
    shades = generator.uniform(0.82, 1.08, (course.max() + 1, brick.max() + 1)).astype(np.float32)
    joint = (rows % high == 0) | ((columns + (course % 2) * (long // 2)) % long == 0)
    return np.where(joint, np.float32(1.3), shades[course, brick]).astype(np.float32)
