"""Boxes, masks and names of objects over pictures."""

import colorsys
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from common.commands import lettering

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

OPACITY = 0.45
"""Share of the colour over an object."""

# Steps around the colour circle by the golden ratio keep any number of colours apart.
_STEP = 0.618034


class Drawn(NamedTuple):
    """An object as it is drawn."""

    box: Sequence[float]
    """Left, top, right, bottom in pixels."""
    label: int
    """From 1 on; it chooses the colour."""
    text: str
    mask: dict[str, Any] | None = None
    """Run lengths over the whole picture."""


def colour_of(label: int) -> Colour:
    """Colour of a class, red, green and blue."""
    red, green, blue = colorsys.hsv_to_rgb(_STEP * label % 1.0, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_objects(image: Picture, objects: Sequence[Drawn]) -> Picture:
    """A copy of the picture (H, W, 3) with its objects, the first on top.

    Masks are tinted, boxes outlined, and the text stands on the box's upper edge.
    """
    canvas = image.copy()
    for one in reversed(objects):
        if one.mask is not None:
            _tint(canvas, one.mask, colour_of(one.label))
    thickness = max(1, round(min(image.shape[:2]) / 320))
    for one in reversed(objects):
        left, top, right, bottom = (round(float(value)) for value in one.box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour_of(one.label), thickness)
    for one in reversed(objects):
        _write(canvas, one, thickness)
    return canvas


def _tint(canvas: Picture, mask: dict[str, Any], colour: Colour) -> None:
    """Blend the colour into the canvas, and line the mask's border."""
    inside = np.asarray(rle.decode(mask), dtype=np.uint8)
    here = inside.astype(bool)
    mixed = (1 - OPACITY) * canvas[here] + OPACITY * np.array(colour)
    canvas[here] = np.rint(mixed).astype(np.uint8)
    borders, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, borders, -1, colour, 1)


def _write(canvas: Picture, one: Drawn, thickness: int) -> None:
    """The text on a field of the object's colour, within the picture."""
    if not one.text:
        return
    height, width = canvas.shape[:2]
    scale = max(0.32, min(height, width) / 1200)
    across, up, below = lettering.extent(one.text, scale)
    left = int(np.clip(round(float(one.box[0])), 0, max(0, width - across - 2)))
    foot = int(np.clip(round(float(one.box[1])) - thickness, up + below, height - 1))
    colour = colour_of(one.label)
    cv2.rectangle(canvas, (left, foot - up - below), (left + across + 1, foot), colour, -1)
    dark = np.dot(colour, (0.299, 0.587, 0.114)) > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    lettering.write(canvas, one.text, left + 1, foot - below // 2 - 1, scale, ink)
