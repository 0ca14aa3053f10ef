"""What the sample data's people stand in: photographs, floors, things, light and grain."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.sample import backgrounds
from tasks.pose.sample.figure import SHIRTS

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenery:
    """What pictures are composed of."""

    photographs: tuple[Picture, ...]
    walls: tuple[Picture, ...]
    """Grey textures."""
    floors: tuple[Picture, ...]
    """Grey textures."""
    fabric: Picture
    """Grey texture around 128 that people's clothes are multiplied with."""
    wood: Picture
    """What crates are made of."""
    noise: Picture
    """Grey noise around 128 with a deviation of 30."""


def gather(held_out: bool) -> Scenery:
    """Scenery of a split: the held-out pictures show other photographs and parts of them."""
    photographs = backgrounds()
    grass, gravel, brick = (photographs[name][:, :, 0] for name in ("grass", "gravel", "brick"))
    weave = cv2.resize(np.tile(grass, (2, 2)), None, fx=1.2, fy=1.2).astype(np.float32)
    weave = np.clip(128 + 0.12 * (weave - weave.mean()), 0, 255).astype(np.uint8)
    coffee, cat, rocket = (photographs[name] for name in ("coffee", "cat", "rocket"))
    return Scenery(
        photographs=(coffee, rocket) if held_out else (coffee[:, ::-1], cat),
        walls=(np.rot90(brick), gravel),
        floors=(grass, gravel) if held_out else (gravel, grass, brick),
        fabric=weave,
        wood=coffee[:110, :200],
        noise=np.clip(np.random.default_rng(0).normal(128, 30, (512, 512)), 0, 255).astype(
            np.uint8
        ),
    )


def cut(texture: Picture, generator: np.random.Generator) -> Picture:
    """A texture from a random place on, so that no two people wear the same piece."""
    down, right = generator.integers(0, 200, 2)
    return np.asarray(texture[down:, right:])


def _tint(grey: Picture, generator: np.random.Generator) -> Picture:
    """A grey texture in a dull colour."""
    colour = generator.uniform(0.65, 1.15) * generator.uniform(0.88, 1.12, 3)
    table = np.clip(np.arange(256)[:, None] * colour, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), table[None]), np.uint8)


def _crop(photograph: Picture, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A random part of a photograph, resized."""
    aspect = width / height
    limit = min(photograph.shape[0], photograph.shape[1] / aspect)
    rows = limit * generator.uniform(0.6, 1.0)
    columns = rows * aspect
    top = int(generator.uniform(0, photograph.shape[0] - rows))
    left = int(generator.uniform(0, photograph.shape[1] - columns))
    part = photograph[top : top + int(rows), left : left + int(columns)]
    resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def backdrop(scenery: Scenery, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A photograph or a wall, mostly with a floor in front."""
    if generator.random() < 0.6:
        choice = scenery.photographs[generator.integers(len(scenery.photographs))]
        picture: Picture = cv2.GaussianBlur(_crop(choice, width, height, generator), (0, 0), 1.2)
    else:
        wall = scenery.walls[generator.integers(len(scenery.walls))]
        picture = _tint(_crop(wall, width, height, generator), generator)
    if generator.random() < 0.75:
        horizon = int(height * generator.uniform(0.58, 0.72))
        floor = scenery.floors[generator.integers(len(scenery.floors))]
        flat = _tint(_crop(floor, 256, 256, generator), generator)
        square = np.array([[0, 0], [256, 0], [256, 256], [0, 256]], dtype=np.float32)
        near = [[width * 1.6, height], [-0.6 * width, height]]
        far = [[-0.05 * width, horizon], [1.05 * width, horizon]]
        corners = np.array([*far, *near], dtype=np.float32)
        matrix = cv2.getPerspectiveTransform(square, corners)
        ground = cv2.warpPerspective(flat, matrix, (width, height), flags=cv2.INTER_AREA)
        picture[horizon:] = ground[horizon:]
    return picture


def shadow(picture: Picture, x: float, feet: float, size: float) -> None:
    """Darken the ground under a person."""
    top, bottom = round(feet - 0.1 * size), round(feet + 0.1 * size)
    left, right = round(x - 0.3 * size), round(x + 0.3 * size)
    here = picture[max(top, 0) : bottom, max(left, 0) : right]
    light = np.full(here.shape, 255, dtype=np.uint8)
    middle = (round(x) - max(left, 0), round(feet) - max(top, 0))
    axes = (round(0.19 * size), round(0.035 * size))
    cv2.ellipse(light, middle, axes, 0, 0, 360, (135, 135, 135), -1)
    light = cv2.GaussianBlur(light, (0, 0), 0.02 * size)
    here[:] = cv2.multiply(np.ascontiguousarray(here), light, scale=1 / 255)


def place_thing(
    picture: Picture, owner: Picture, scenery: Scenery, generator: np.random.Generator
) -> None:
    """A crate or a ball that hides part of whoever stands behind it."""
    height, width = picture.shape[:2]
    size = int(height * generator.uniform(0.16, 0.32))
    x = int(generator.uniform(0.15, 0.85) * width)
    bottom = int(height * generator.uniform(0.9, 1.0))
    middle = np.array([x, bottom - size // 2])
    shadow(picture, x, bottom, 2.2 * size)
    if generator.random() < 0.5:
        colour = np.array(SHIRTS[generator.integers(len(SHIRTS))])
        for share, light in ((1.0, 0.6), (0.9, 0.75), (0.72, 0.9), (0.5, 1.0), (0.2, 1.12)):
            shade = np.clip(colour * light, 0, 255).tolist()
            place = np.round(middle - (1 - share) * 0.2 * size).astype(int).tolist()
            cv2.circle(picture, place, round(share * size / 2), shade, -1, cv2.LINE_AA)
        cv2.circle(owner, middle.tolist(), size // 2, 255, -1)
    else:
        left, right, top = max(x - size // 2, 0), min(x + size // 2, width), bottom - size
        side = _crop(scenery.wood, right - left, size, generator)
        cv2.rectangle(side, (0, 0), (right - left - 1, size - 1), (74, 40, 26), size // 12)
        picture[top:bottom, left:right] = side
        owner[top:bottom, left:right] = 255


def photograph(picture: Picture, noise: Picture, generator: np.random.Generator) -> Picture:
    """The scene as a camera sees it: exposure, a soft lens, noise."""
    soft = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.35, 0.7))
    height, width = picture.shape[:2]
    down, right = generator.integers(0, 100, 2)
    grain = cv2.cvtColor(noise[down : down + height, right : right + width], cv2.COLOR_GRAY2RGB)
    exposure = generator.uniform(0.85, 1.1)
    return np.asarray(cv2.addWeighted(soft, exposure, grain, 0.07, -9.0), np.uint8)
