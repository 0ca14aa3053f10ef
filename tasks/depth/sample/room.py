"""Rooms whose depth is known: rays that meet floor, ceiling, walls and upright cards.

What a room is papered and paved with has a fixed size in metres, and so have the cards, by their
colour: that is what tells a network how far things are.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

HEIGHT, WIDTH = 96, 128
_FINER = 2
"""Pixels are the means of so many rays across and down."""
_JOINT = 0.025
"""Metres between tiles."""
_LEAST_HOLES, _MOST_HOLES = 0.02, 0.10
"""Share of the pixels that nothing was measured of."""

# Width and height in metres and colour of the kinds of cards.
CARDS = (
    (0.5, 1.7, (60, 90, 190)),
    (0.9, 2.0, (130, 85, 50)),
    (0.6, 0.6, (220, 190, 60)),
    (0.4, 1.0, (190, 60, 60)),
)


@dataclass(frozen=True)
class Camera:
    """A camera that all pictures of a set have."""

    degrees: float
    """Its field of view across."""

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return WIDTH / 2 / math.tan(math.radians(self.degrees) / 2)


class Scene(NamedTuple):
    """A picture of a room."""

    picture: NDArray[np.uint8]
    """(H, W, 3), RGB."""
    depth: NDArray[np.float64]
    """(H, W) metres along the optical axis; 0 in the holes."""


class _Rays(NamedTuple):
    """Directions in the room, one metre along the optical axis each, or the places they reach.

    They count from the camera: x to the right, y up, z ahead.
    """

    x: Numbers
    y: Numbers
    z: Numbers


Paint = Callable[[_Rays], Numbers]
"""Places on a surface (N,) -> their colours (N, 3)."""


class _Card(NamedTuple):
    kind: int
    middle: float
    far: float


@dataclass(frozen=True)
class _Room:
    """Measures in metres, from the foot of the camera: x to the right, y up, z ahead."""

    left: float
    right: float
    far: float
    high: float
    eye: float
    pitch: float
    cards: tuple[_Card, ...]
    paints: Numbers
    """Colours (3, 3) of floor, ceiling and walls."""


def scene(camera: Camera, generator: np.random.Generator) -> Scene:
    """A random room, seen by this camera."""
    room = _room(generator)
    fine, _ = _look(room, camera, _FINER)
    _, depth = _look(room, camera, 1)
    picture = cv2.resize(fine, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    noise = generator.normal(0, 4, picture.shape)
    light = generator.uniform(0.8, 1.1)
    picture = np.clip(picture * light + noise, 0, 255).astype(np.uint8)
    depth[_holes(depth, generator)] = 0
    return Scene(picture, depth)


def _room(generator: np.random.Generator) -> _Room:
    far = generator.uniform(2.5, 8.0)
    left, right = -generator.uniform(1.2, 3.0), generator.uniform(1.2, 3.0)
    cards = tuple(
        _Card(
            int(generator.integers(len(CARDS))),
            generator.uniform(0.7 * left, 0.7 * right),
            generator.uniform(1.5, 0.95 * far),
        )
        for _ in range(int(generator.integers(1, 5)))
    )
    return _Room(
        left=left,
        right=right,
        far=far,
        high=generator.uniform(2.4, 3.0),
        eye=generator.uniform(1.2, 1.6),
        pitch=math.radians(generator.uniform(-2, 8)),
        cards=cards,
        paints=generator.uniform(90, 230, (3, 3)),
    )


def _rays(room: _Room, camera: Camera, finer: int) -> _Rays:
    """The rays through a picture of so many times the pixels across and down."""
    rows, columns = np.mgrid[0 : HEIGHT * finer, 0 : WIDTH * finer]
    x = ((columns + 0.5) / finer - WIDTH / 2) / camera.focal
    down = ((rows + 0.5) / finer - HEIGHT / 2) / camera.focal
    # The camera looks down by the pitch.
    return _Rays(
        x,
        -down * math.cos(room.pitch) - math.sin(room.pitch),
        math.cos(room.pitch) - down * math.sin(room.pitch),
    )


def _look(room: _Room, camera: Camera, finer: int) -> tuple[Numbers, Numbers]:
    """Colours (H, W, 3) and depth (H, W) of so many times finer a picture."""
    rays = _rays(room, camera, finer)
    depth, colours = np.full(rays.x.shape, np.inf), np.zeros((*rays.x.shape, 3))
    surfaces = [*_walls(room, rays), *_cards(room, rays)]
    owner = np.zeros(rays.x.shape, np.int64)
    for number, (reach, _) in enumerate(surfaces):
        nearer = (reach > 0) & (reach < depth)
        depth[nearer], owner[nearer] = reach[nearer], number
    for number, (_, paint) in enumerate(surfaces):
        here = owner == number
        colours[here] = paint(_Rays(*(one[here] * depth[here] for one in rays)))
    return colours / (1 + 0.06 * depth[..., None]), depth


def _walls(room: _Room, rays: _Rays) -> Iterator[tuple[Numbers, Paint]]:
    """How far along the rays (H, W) floor, ceiling and walls are, and what paints them."""
    floor, ceiling, wall = room.paints
    with np.errstate(divide="ignore"):
        yield -room.eye / rays.y, lambda at: _tiles(floor, at.x, at.z, 0.4)
        yield (room.high - room.eye) / rays.y, lambda at: _tiles(ceiling, at.x, at.z, 0.6)
        yield room.far / rays.z, lambda at: _tiles(wall, at.x, at.y + room.eye, 0.5)
        yield room.left / rays.x, lambda at: _tiles(0.85 * wall, at.z, at.y + room.eye, 0.5)
        yield room.right / rays.x, lambda at: _tiles(0.9 * wall, at.z, at.y + room.eye, 0.5)


def _cards(room: _Room, rays: _Rays) -> Iterator[tuple[Numbers, Paint]]:
    """The same of the cards; what passes beside one never meets it."""
    for card in room.cards:
        width, height, _ = CARDS[card.kind]
        reach = card.far / rays.z
        above = rays.y * reach + room.eye
        inside = (np.abs(rays.x * reach - card.middle) < width / 2) & (above < height) & (above > 0)
        yield np.where(inside, reach, np.inf), partial(_framed, card, room.eye)


def _framed(card: _Card, eye: float, at: _Rays) -> Numbers:
    """Colours (N, 3) of a card, darker along its edge."""
    width, height, colour = CARDS[card.kind]
    edge = (np.abs(at.x - card.middle) > width / 2 - 0.05) | (at.y + eye > height - 0.05)
    return np.where(edge, 0.6, 1.0)[:, None] * np.array(colour, np.float64)


def _tiles(colour: Numbers, across: Numbers, along: Numbers, size: float) -> Numbers:
    """Colours (N, 3) of square tiles of this side in metres, light and dark, with joints."""
    joint = (across % size < _JOINT) | (along % size < _JOINT)
    chess = (np.floor(across / size) + np.floor(along / size)) % 2
    return np.where(joint[:, None], 50.0, colour * (0.82 + 0.18 * chess[:, None]))


def _holes(depth: Numbers, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Pixels (H, W) in patches, of which nothing was measured."""
    coarse = generator.random((HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    share = generator.uniform(_LEAST_HOLES, _MOST_HOLES)
    return np.asarray(smooth < np.quantile(smooth, share))
