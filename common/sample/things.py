"""Painted objects for generated pictures.

Each painter maps coordinates (u, v), -1 to 1 from left to right and from top to bottom, to what is
covered and in which colour.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

SUPERSAMPLING = 2
"""Objects are painted this much larger and averaged down, which smooths their edges."""


@dataclass(frozen=True)
class Look:
    """What two objects of one class differ in."""

    first: Floats
    """(3,) RGB, 0..255"""
    second: Floats
    """(3,) RGB, 0..255"""
    grain: Floats
    """(S, S) brightness of a photographed texture around 1."""
    count: int
    """Stripes, petals, planks, spokes: 0 to 3 more than the least."""
    phase: float
    """0..1, where a pattern begins."""


Painter = Callable[[Floats, Floats, Look], tuple[Mask, Floats]]


def _mix(where: Mask, look: Look) -> Floats:
    return np.where(where[..., None], look.first, look.second)


def ball(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """A beach ball: panels that meet in a pole beside the middle, round shading."""
    angle = np.arctan2(v + 0.3, u - 0.6 * look.phase + 0.3)
    panels = np.floor(angle / np.pi * (3 + look.count) + look.phase).astype(int) % 2 == 0
    height = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    return u * u + v * v < 1, _mix(panels, look) * (0.5 + 0.6 * height)[..., None]


def crate(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """A wooden box: planks with gaps, a frame and a diagonal."""
    covered = np.maximum(np.abs(u), np.abs(v)) < 0.86
    planks = np.mod((v + 1) * (2 + look.count / 2) + look.phase, 1)
    frame = (np.maximum(np.abs(u), np.abs(v)) > 0.66) | (np.abs(u - v) < 0.14)
    light = np.where(planks < 0.12, 0.45, 0.95)
    light = np.where(frame, 0.8, light) * look.grain
    return covered, look.first * light[..., None]


def flower(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """Petals with fine lines around a disc."""
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    petals = 5 + look.count
    reach = 0.64 + 0.34 * np.abs(np.cos(angle * petals / 2 + 3 * look.phase))
    lines = 0.8 + 0.2 * np.cos(angle * petals * 4)
    light = lines * (0.65 + 0.4 * radius)
    return radius < reach, _mix(radius > 0.27, look) * light[..., None]


def mushroom(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """A cap with spots on a pale stem."""
    cap = (u / 0.98) ** 2 + ((v - 0.1) / 1.05) ** 2 < 1
    cap &= v < 0.12 + 0.06 * np.cos(6 * u)
    stem = (np.abs(u) < 0.2 + 0.14 * np.clip(v, 0, 1) ** 2) & (v > 0) & (v < 0.95)
    spots = np.cos(u * (7 + look.count) + 6 * look.phase) * np.cos(v * 8 + 2 * look.phase) > 0.55
    pale = np.array([228, 216, 196], np.float32) * look.grain[..., None]
    painted = np.where(spots[..., None], look.second, look.first) * (0.85 - 0.35 * v)[..., None]
    return cap | stem, np.where(cap[..., None], painted, pale)


def fish(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """A body with scales, a tail, a fin and an eye."""
    body = ((u + 0.2) / 0.78) ** 2 + (v / 0.54) ** 2 < 1
    tail = (u > 0.3) & (u < 0.98) & (np.abs(v) < u - 0.3)
    fin = (v < -0.2) & (v > -0.78) & (np.abs(u + 0.15 - 0.35 * v) < 0.22)
    fine = 9.0 + 2 * look.count
    row = np.floor(v * fine)
    scales = np.hypot(np.mod(u * fine + row / 2, 1) - 0.5, np.mod(v * fine, 1)) > 0.6
    eye = np.hypot(u + 0.68, v + 0.1) < 0.11
    light = np.where(body & ~scales, 1.0, 0.62) * (1 - 0.25 * v)
    colour = _mix(body & (u > -0.55), look) * light[..., None]
    dark = np.hypot(u + 0.68, v + 0.1) < 0.05
    colour[eye], colour[dark] = 245, 15
    return body | tail | fin, colour


def wheel(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """A rim with a tread, and spokes before a dark disc."""
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    rim = radius > 0.62
    spokes = np.abs(np.sin(2 * angle + np.pi * look.phase)) * radius < 0.26
    tread = np.cos(angle * (20 + 3 * look.count)) > 0
    light = np.where(tread & (radius > 0.82), 0.5, 0.9) * look.grain
    light = np.where(rim | spokes, light, 0.25)
    return radius < 1, _mix(rim, look) * light[..., None]


def scrap(u: Floats, v: Floats, look: Look) -> tuple[Mask, Floats]:
    """Cloth with stripes or checks, cut to three to six corners: nothing that has a name."""
    corners = 3 + look.count
    angle, radius = np.arctan2(v, u) + 2 * look.phase, np.hypot(u, v)
    sector = 2 * np.pi / corners
    edge = np.cos(np.pi / corners) / np.cos(np.mod(angle, sector) - sector / 2)
    stripes = np.cos(u * 14) > 0
    if look.phase > 0.5:
        stripes ^= np.cos(v * 14) > 0
    return radius < edge * 0.95, _mix(stripes, look) * look.grain[..., None]


COLOURS = {
    "red": (215, 45, 40), "orange": (225, 130, 45), "yellow": (235, 200, 60),
    "green": (80, 150, 60), "teal": (50, 155, 160), "blue": (50, 85, 205),
    "violet": (145, 80, 190), "pink": (235, 125, 170), "brown": (140, 90, 50),
    "ochre": (190, 150, 95), "black": (45, 45, 50), "grey": (125, 125, 130),
    "white": (232, 232, 228),
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """A class of objects."""

    paint: Painter
    colours: tuple[str, ...]
    """That it comes in, of COLOURS; two or more."""


def random_look(thing: Thing, grain: Floats, generator: np.random.Generator) -> Look:
    """Two of the thing's colours, varied, a piece of texture, numbers."""
    names = generator.choice(thing.colours, 2, replace=False)
    light = generator.uniform(0.75, 1.1)
    first, second = (
        np.array(COLOURS[name], np.float32) * np.float32(light)
        + generator.normal(0, 12, 3).astype(np.float32)
        for name in names
    )
    return Look(first, second, grain, int(generator.integers(0, 4)), float(generator.random()))


@dataclass(frozen=True)
class Painted:
    """An object on a square canvas."""

    colour: NDArray[np.uint8]
    """(S, S, 3), black where nothing is covered."""
    coverage: NDArray[np.float32]
    """(S, S), 0..1"""


def paint(thing: Thing, size: int, texture: Floats, generator: np.random.Generator) -> Painted:
    """An object about `size` pixels large, turned and bent.

    Args:
        thing: its class.
        size: side of the canvas in pixels.
        texture: brightness around 1, at least 2 * size high and wide.
        generator: of all that is random.
    """
    fine = SUPERSAMPLING * size
    line = (np.arange(fine, dtype=np.float32) + 0.5) / fine * 2 - 1
    turn = generator.uniform(-np.pi, np.pi)
    squeeze = generator.uniform(0.75, 1.0)
    shear = generator.uniform(-0.15, 0.15)
    # The canvas holds the object in every position.
    x, y = 1.15 * line[None, :], 1.15 * line[:, None]
    u = np.cos(turn) * x + np.sin(turn) * y
    v = -np.sin(turn) * x + np.cos(turn) * y
    u, v = (u + shear * v).astype(np.float32), (v / squeeze).astype(np.float32)
    if generator.random() < 0.5:
        u = -u
    covered, colour = thing.paint(u, v, random_look(thing, texture[:fine, :fine], generator))
    opaque = covered.astype(np.float32)
    light = 1.0 - 0.2 * line[:, None]
    premultiplied = np.clip(colour * light[..., None], 0, 255).astype(np.float32)
    premultiplied *= opaque[..., None]
    return Painted(
        np.asarray(cv2.resize(premultiplied, (size, size), interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(opaque, (size, size), interpolation=cv2.INTER_AREA), np.float32),
    )
