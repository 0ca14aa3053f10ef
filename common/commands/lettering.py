"""Names on pictures.

OpenCV's font has Latin, Greek, Cyrillic, Hebrew, Arabic, Chinese, Japanese and Korean letters;
others become question marks.
"""

from typing import NamedTuple

import cv2

from common.reading.image import Picture

_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Extent(NamedTuple):
    """Pixels that a text takes."""

    width: int
    above: int
    """Above its base line."""
    below: int


def extent(text: str, scale: float) -> Extent:
    """What a text takes at a scale of the font."""
    (width, above), below = cv2.getTextSize(_drawable(text), _FONT, scale, 1)
    return Extent(width, above, below)


def fitted(text: str, scale: float, width: int) -> str:
    """The text, or so much of its beginning as has room in the width, with two dots."""
    shown = whole = _drawable(text)
    while extent(shown, scale).width > width and len(whole) > 1:
        whole = whole[:-1]
        shown = whole.rstrip() + ".."
    return shown


def write(
    canvas: Picture, text: str, left: int, base: int, scale: float, colour: tuple[int, int, int]
) -> None:
    """Write a text on a picture in place; base is the row of its base line."""
    place = (left, base)
    cv2.putText(canvas, _drawable(text), place, _FONT, scale, colour, 1, cv2.LINE_AA)


def _drawable(text: str) -> str:
    """The text with a mark for what is no character, of which OpenCV dies: names of files."""
    return text.encode(errors="replace").decode()
