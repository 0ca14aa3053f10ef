"""Pictures of what a classifier says: heat over a picture, and its best classes beside it."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import lettering
from common.reading.image import Picture

SIDE = 256
"""Pixels of a picture on the sheet."""

_MARGIN = 8
_LINE = 20
_INK, _GREY, _BAR = (40, 40, 40), (120, 120, 120), (196, 216, 240)
_SCALE = 0.42
"""Of the letters."""


class Guess(NamedTuple):
    """A class and its probability."""

    title: str
    probability: float


class Panel(NamedTuple):
    """One picture with what stands above and below it."""

    title: str
    picture: Picture
    guesses: Sequence[Guess]
    """Best first; may be empty."""


def overlay(picture: Picture, heat: NDArray[np.float32]) -> Picture:
    """A picture (H, W, 3) under colours from blue (heat 0) over green to red (heat 1) of (H, W).

    The hotter, the more of them, so that what does not matter is still to be seen.
    """
    # Without the ends of the colour map, both of which are nearly black.
    colours = cv2.applyColorMap((24 + 200 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    share = (0.25 + 0.35 * heat)[..., None]
    return np.asarray(picture + share * (colours.astype(np.float32) - picture), np.uint8)


def enlarge(picture: Picture) -> Picture:
    """A square picture in the size of the sheet's."""
    method = cv2.INTER_AREA if len(picture) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=method), np.uint8)


def row(panels: Sequence[Panel]) -> Picture:
    """Panels side by side: title, picture, and a line with a bar for each guess."""
    lines = max(len(panel.guesses) for panel in panels)
    height = 2 * _MARGIN + _LINE + SIDE + (_LINE * lines + _MARGIN if lines else 0)
    canvas = np.full((height, _MARGIN + len(panels) * (SIDE + _MARGIN), 3), 255, dtype=np.uint8)
    for number, panel in enumerate(panels):
        left = _MARGIN + number * (SIDE + _MARGIN)
        top = _MARGIN + _LINE
        _write(canvas, panel.title, left, top - 6, SIDE, _INK)
        canvas[top : top + SIDE, left : left + SIDE] = enlarge(panel.picture)
        for place, guess in enumerate(panel.guesses):
            _guess(canvas, guess, left, top + SIDE + _MARGIN + place * _LINE)
    return canvas


def _guess(canvas: Picture, guess: Guess, left: int, top: int) -> None:
    right = left + round(SIDE * guess.probability)
    cv2.rectangle(canvas, (left, top), (right, top + _LINE - 3), _BAR, -1)
    _write(canvas, guess.title, left + 3, top + 13, SIDE - 52, _INK)
    _write(canvas, f"{guess.probability:.1%}", left + SIDE - 48, top + 13, 48, _GREY)


def _write(
    canvas: Picture, text: str, left: int, base: int, width: int, colour: tuple[int, int, int]
) -> None:
    """Text that ends with dots where there is no more room."""
    shown = lettering.fitted(text, _SCALE, width)
    lettering.write(canvas, shown, left, base, _SCALE, colour)
