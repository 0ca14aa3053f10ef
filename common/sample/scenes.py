"""Scenes of painted things that overlap, with the mask of each, for several samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.sample.scenery import Scenery, backdrop, lay, photograph, places, thing_of
from common.sample.things import Thing, ball, crate, fish, flower, wheel

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

THINGS: dict[str, tuple[int, Thing]] = {
    "ball": (1, Thing(ball, ("red", "yellow", "white"))),
    "crate": (2, Thing(crate, ("brown", "ochre"))),
    "flower": (4, Thing(flower, ("pink", "violet"))),
    "fish": (7, Thing(fish, ("blue", "teal"))),
    "wheel": (8, Thing(wheel, ("black", "grey"))),
}
"""The classes with their ids, which have gaps as COCO's do."""

_SMALLEST, _LARGEST = 48, 92
"""Side of a thing's canvas in pixels."""
_SMALL = 26, 34
"""Of one in a crowd."""
_CROWDED = 0.06
"""Share of the pictures with a crowd."""
_VISIBLE = 0.55
"""Least share of a thing that others may leave to be seen."""


class Laid(NamedTuple):
    """A thing, or a crowd of things, as it is seen."""

    name: str
    mask: Mask
    """(H, W)"""
    crowd: bool


def scene(scenery: Scenery, generator: np.random.Generator) -> tuple[Picture, list[Laid]]:
    """A picture (H, W, 3), three in ten of them upright, and what is seen in it."""
    long, short = int(generator.integers(150, 181)), int(generator.integers(120, 141))
    width, height = (short, long) if generator.random() < 0.3 else (long, short)
    picture, laid = strewn(backdrop(scenery, width, height, generator), scenery, generator)
    return photograph(picture, generator), laid


def strewn(
    picture: Picture, scenery: Scenery, generator: np.random.Generator
) -> tuple[Picture, list[Laid]]:
    """A picture (H, W, 3) with one to four things on it, and what is seen of them.

    A few pictures have a crowd too. The picture that is given may be drawn on.
    """
    laid = [_crowd(picture, scenery, generator)] if generator.random() < _CROWDED else []
    for place in places(int(generator.integers(1, 5)), generator):
        name = str(generator.choice(list(THINGS)))
        thing = thing_of(THINGS[name][1], scenery, _SMALLEST, _LARGEST, generator)
        tried = picture.copy()
        covered = lay(tried, thing, place)
        if all((one.mask & ~covered).sum() >= _VISIBLE * one.mask.sum() for one in laid):
            picture = tried
            laid = [one._replace(mask=one.mask & ~covered) for one in laid]
            laid.append(Laid(name, covered, crowd=False))
    return picture, laid


def _crowd(picture: Picture, scenery: Scenery, generator: np.random.Generator) -> Laid:
    """Many small things of a kind in a heap, which count as one region."""
    name = str(generator.choice(list(THINGS)))
    middle = generator.uniform(0.3, 0.7, 2)
    mask = np.zeros(picture.shape[:2], dtype=bool)
    for _ in range(int(generator.integers(8, 13))):
        place = np.clip(middle + generator.normal(0, 0.13, 2), 0.1, 0.9)
        thing = thing_of(THINGS[name][1], scenery, *_SMALL, generator)
        mask |= lay(picture, thing, place)
    return Laid(name, mask, crowd=True)
