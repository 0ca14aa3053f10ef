"""Generated pictures: painted things in front of photographs, as a camera sees them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.sample import backgrounds
from common.sample.things import SUPERSAMPLING, Painted, Thing, paint

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenery:
    """What pictures are composed of."""

    photographs: tuple[Picture, ...]
    textures: tuple[NDArray[np.float32], ...]
    """Brightness around 1, (H, W)."""


def gather(held_out: bool) -> Scenery:
    """Scenery of a split: the held-out pictures show other photographs and other textures."""
    found = backgrounds()
    coffee, cat, rocket, brick, grass, gravel = (
        found[name] for name in ("coffee", "cat", "rocket", "brick", "grass", "gravel")
    )
    textures = (grass, np.rot90(brick)) if held_out else (gravel, brick)
    return Scenery(
        photographs=(rocket, grass) if held_out else (coffee, cat, gravel, brick),
        textures=tuple(_brightness(texture) for texture in textures),
    )


def thing_of(
    thing: Thing, scenery: Scenery, smallest: int, largest: int, generator: np.random.Generator
) -> Painted:
    """A thing on a canvas of `smallest` to `largest` pixels, with a piece of a texture."""
    texture = scenery.textures[generator.integers(len(scenery.textures))]
    reach = texture.shape[0] - SUPERSAMPLING * largest
    down, right = generator.integers(0, reach, 2)
    size = int(generator.integers(smallest, largest + 1))
    return paint(thing, size, texture[down:, right:], generator)


def places(things: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Relative positions (things, 2), x and y, of at most six: some overlap, none coincide."""
    cells = generator.permutation(6)[:things]
    corners = np.column_stack([cells % 3, cells // 3])
    return (corners + generator.uniform(0.25, 0.75, (things, 2))) / (3, 2)


def lay(picture: Picture, thing: Painted, place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Lay a thing over a picture (H, W, 3), around a relative place, cut off at its borders.

    Returns which pixels (H, W) it covers.
    """
    side = len(thing.coverage)
    left, top = np.round(place * picture.shape[1::-1]).astype(int) - side // 2
    here = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
    part = picture[here]
    there = np.s_[max(-top, 0) :, max(-left, 0) :]
    coverage = thing.coverage[there][: part.shape[0], : part.shape[1]]
    colour = thing.colour[there][: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - coverage[..., None]) + colour
    covered = np.zeros(picture.shape[:2], dtype=bool)
    covered[here] = coverage > 0.5
    return covered


def backdrop(scenery: Scenery, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A random part of a photograph, mirrored or not, in other colours and under coloured clouds.

    A handful of photographs would otherwise be memorised.
    """
    photograph = scenery.photographs[generator.integers(len(scenery.photographs))]
    rows = min(photograph.shape[0], photograph.shape[1] * height / width)
    rows *= generator.uniform(0.4, 0.95)
    columns = rows * width / height
    top = int(generator.uniform(0, photograph.shape[0] - rows))
    left = int(generator.uniform(0, photograph.shape[1] - columns))
    part = photograph[top : top + int(rows), left : left + int(columns), generator.permutation(3)]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    seen = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
    coarse = generator.integers(30, 226, (*generator.integers(2, 9, 2), 3), dtype=np.uint8)
    clouds = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    share = generator.uniform(0.0, 0.5)
    mixed = cv2.addWeighted(seen, 1 - share, clouds, share, 0)
    # Out of focus, as what lies behind things often is.
    return np.asarray(cv2.GaussianBlur(mixed, (0, 0), generator.uniform(0.8, 2.0)), np.uint8)


def photograph(picture: Picture, generator: np.random.Generator) -> Picture:
    """The scene as a camera sees it: exposure, a soft lens, noise."""
    soft = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.8)).astype(np.float32)
    noise = generator.normal(0, generator.uniform(1, 5), picture.shape[:2]).astype(np.float32)
    lit = soft * np.float32(generator.uniform(0.8, 1.1)) + noise[..., None]
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _brightness(texture: Picture) -> NDArray[np.float32]:
    grey = texture[..., 0].astype(np.float32)
    return np.asarray(np.clip(1 + 0.12 * (grey - grey.mean()) / grey.std(), 0.7, 1.25), np.float32)
