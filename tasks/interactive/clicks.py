"""Clicks: where a person says "this belongs to it" or "this does not", and how networks see them.

A click is the pixel (x, y), counted from the upper left one, (0, 0). Networks see, for each kind of
click, how far every pixel is from the nearest one.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_json

FARTHEST = 255.0
"""Pixels: distances are cut off here, and are this where there is no click."""

_CLICK = re.compile("-?[0-9]+,-?[0-9]+,[+-]")

Distances = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom: its first and its last column and row."""


class Click(NamedTuple):
    """A pixel that belongs to the object, or does not."""

    x: int
    y: int
    positive: bool = True


class Given(NamedTuple):
    """What a person says of one picture."""

    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    mask: Path | None = None
    """A file: the mask to begin with."""


def distance(click: Click, height: int, width: int) -> Distances:
    """Pixels (height, width) from a click, at most FARTHEST."""
    down = np.arange(height, dtype=np.float32)[:, None] - np.float32(click.y)
    across = np.arange(width, dtype=np.float32)[None] - np.float32(click.x)
    found: Distances = np.minimum(np.sqrt(down * down + across * across), np.float32(FARTHEST))
    return found


def nearest(clicks: Sequence[Click], height: int, width: int) -> Distances:
    """Pixels (2, height, width) from the nearest positive and from the nearest negative click."""
    found = np.full((2, height, width), FARTHEST, np.float32)
    for click in clicks:
        plane = found[0 if click.positive else 1]
        np.minimum(plane, distance(click, height, width), out=plane)
    return found


def scaled(click: Click, height: float, width: float) -> Click:
    """A click in a picture that was resized by these factors; parts of pixels are cut off."""
    return click._replace(x=int(click.x * width), y=int(click.y * height))


def require_possible(click: Click, before: Sequence[Click], height: int, width: int) -> None:
    """Refuse a click outside of a picture, or one that contradicts an earlier one at its place.

    Raises:
        UserError: it is one of these.
    """
    if not (0 <= click.x < width and 0 <= click.y < height):
        raise UserError(
            f"click {click.x},{click.y}: lies outside of the picture, whose columns go from 0 to "
            f"{width - 1} and whose rows from 0 to {height - 1}"
        )
    for place, other in enumerate(before, start=1):
        if (other.x, other.y) == (click.x, click.y) and other.positive != click.positive:
            signs = ("-", "+")
            raise UserError(
                f"click {click.x},{click.y},{signs[click.positive]}: contradicts click number "
                f"{place} at the same place, {other.x},{other.y},{signs[other.positive]}; take one "
                "of them back"
            )


def require_box(box: Box, height: int, width: int) -> None:
    """Refuse a box that is empty or not inside of a picture.

    Raises:
        UserError: it is one of these.
    """
    left, top, right, bottom = box
    if not (0 <= left <= right < width and 0 <= top <= bottom < height):
        raise UserError(
            f"box {left},{top},{right},{bottom}: needed are left, top, right and bottom inside of "
            f"the picture of {width}x{height} pixels"
        )


def parse(text: str, flag: str = "--clicks") -> tuple[Click, ...]:
    """The clicks of a text such as "40,25,+ 80,60,-".

    Raises:
        UserError: it is none.
    """
    found = []
    for word in text.split():
        parts = word.split(",")
        if not _CLICK.fullmatch(word):
            raise UserError(
                f"{flag} {word}: is no file or folder, and no click, which is x,y,+ or x,y,- in "
                "whole pixels without spaces, such as '40,25,+'"
            )
        found.append(Click(int(parts[0]), int(parts[1]), parts[2] == "+"))
    if not found:
        raise UserError(f"{flag} is empty; give clicks such as '40,25,+ 80,60,-'")
    return tuple(found)


def written(clicks: Sequence[Click]) -> str:
    """Clicks as `parse` reads them."""
    return " ".join(f"{one.x},{one.y},{'+' if one.positive else '-'}" for one in clicks)


def read(file: Path) -> Given:
    """What a JSON file says of a picture: "clicks", and if wanted "box" and "mask".

    A click is {"x": 40, "y": 25, "positive": true}; a box is [left, top, right, bottom]; a mask is
    the name of a file, from the JSON file's folder on.

    Raises:
        DamagedFile: the file is missing, or of another form.
    """
    content, _ = read_json(file)
    if not isinstance(content, dict) or not content.keys() & {"clicks", "box", "mask"}:
        raise DamagedFile(f'{file}: is no click file; it has "clicks": [{{"x": 40, "y": 25, ...}}]')
    listed = content.get("clicks", [])
    if not isinstance(listed, list):
        raise DamagedFile(f"{file}: its clicks are {listed!r}, not a list")
    box, mask = content.get("box"), content.get("mask")
    if mask is not None and not isinstance(mask, str):
        raise DamagedFile(f"{file}: its mask is {mask!r}, not the name of a file")
    return Given(
        tuple(_click(one, file) for one in listed),
        None if box is None else _box(box, file),
        None if mask is None else file.parent / mask,
    )


def _click(entry: Any, file: Path) -> Click:
    values = [entry.get(key) for key in ("x", "y")] if isinstance(entry, dict) else []
    positive = entry.get("positive", True) if isinstance(entry, dict) else None
    if not all(type(value) is int for value in values) or not isinstance(positive, bool):
        raise DamagedFile(
            f'{file}: has the click {json.dumps(entry)}; needed: {{"x": 40, "y": 25, "positive": '
            "true}, in whole pixels"
        )
    return Click(entry["x"], entry["y"], positive)


def _box(entry: Any, file: Path) -> Box:
    if not isinstance(entry, list) or [type(side) for side in entry] != [int] * 4:
        raise DamagedFile(f"{file}: has the box {entry!r}; needed: [left, top, right, bottom]")
    left, top, right, bottom = entry
    return left, top, right, bottom


def described(clicks: Sequence[Click]) -> list[dict[str, Any]]:
    """Clicks as `read` reads them."""
    return [one._asdict() for one in clicks]
