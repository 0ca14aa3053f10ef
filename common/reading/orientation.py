"""The EXIF orientation of pictures: which of eight ways a viewer turns what is stored."""

import mmap
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
from numpy.typing import NDArray

from common.reading import jpeg, tiff
from common.reading.jpeg import Bytes

Orientation = Literal["stored", "upright"]
"""How a picture is seen: with the pixels as they are stored, or turned as viewers turn it."""

Array = TypeVar("Array", bound=NDArray[Any])

SIDEWAYS = 5
"""Orientations from this one on exchange height and width."""

_LOOKED_AT = 20_000
_TAKEN: dict[Orientation | None, str] = {
    None: "train and evaluate take pixels as stored and predict turns pictures upright; so that "
    "all see them one way, say which way the annotations count: --data.orientation stored or "
    "upright",
    "stored": "pixels are taken as stored, as --data.orientation says",
    "upright": "pictures are turned upright, as --data.orientation says",
}

_EXIF = b"Exif\0\0"
_PNG = b"\x89PNG\r\n\x1a\n"
_APP1 = 0xE1

_ROTATIONS = {
    3: cv2.ROTATE_180,
    6: cv2.ROTATE_90_CLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def of(data: Bytes) -> int:
    """The orientation 1..8 of an encoded picture; 1 where it states none.

    Known in JPEG, PNG (eXIf), TIFF and WebP.
    """
    start = bytes(data[:12])
    if jpeg.is_jpeg(start):
        exif = _in_jpeg(data)
    elif start[:8] == _PNG:
        exif = _in_chunks(data, 8, "big", b"eXIf")
    elif start[:4] == b"RIFF" and start[8:] == b"WEBP":
        exif = _in_chunks(data, 12, "little", b"EXIF")
    else:
        return tiff.orientation(data)
    return tiff.orientation(exif.removeprefix(_EXIF))


def _in_jpeg(data: Bytes) -> bytes:
    """The EXIF of a JPEG, b"" if it has none."""
    for segment in jpeg.segments(data):
        content = bytes(data[segment.start : segment.end]) if segment.kind == _APP1 else b""
        if content.startswith(_EXIF):
            return content
    return b""


def _in_chunks(data: Bytes, place: int, order: Literal["big", "little"], wanted: bytes) -> bytes:
    """A chunk of a PNG ("big": length, name, content, sum) or a WebP (name, length, content)."""
    while len(head := bytes(data[place : place + 8])) == 8:
        name, length = (head[4:], head[:4]) if order == "big" else (head[:4], head[4:])
        size = int.from_bytes(length, order)
        if name == wanted:
            return bytes(data[place + 8 : place + 8 + size])
        place += 8 + size + (4 if order == "big" else size % 2)
    return b""


def turned(image: Array, number: int) -> Array:
    """What is stored (H, W, ...), of any type, as a viewer turns it for an orientation 1..8."""
    seen: Any = image
    if number in _ROTATIONS:
        seen = cv2.rotate(image, _ROTATIONS[number])
    elif number in (2, 4):
        seen = cv2.flip(image, 1 if number == 2 else 0)
    elif number in (5, 7):
        seen = cv2.transpose(image if number == 5 else cv2.rotate(image, cv2.ROTATE_180))
    turned_image: Array = seen
    return turned_image


def of_file(path: Path) -> int:
    """The orientation 1..8 of a file, from its headers; 1 if it has none or cannot be read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return of(data)
    except (OSError, ValueError):  # no such file, or an empty one: who reads it says so
        return 1


def other_way(files: Sequence[Path], chosen: Orientation | None) -> str:
    """What to say where height and width are exchanged: the flag, if an orientation explains it."""
    for file in files:
        number = of_file(file)
        if number >= SIDEWAYS:
            other = "stored" if chosen == "upright" else "upright"
            return (
                f"; {file.name} has the EXIF orientation {number}: say --data.orientation {other}"
            )
    return ""


def report(files: Sequence[Path | str], chosen: Orientation | None) -> None:
    """Say on stderr how many of a set's files have an orientation other than 1, if any.

    Of large sets some files are looked at, evenly spaced.
    """
    count = min(len(files), _LOOKED_AT)
    looked_at = [Path(files[place * len(files) // count]) for place in range(count)]
    numbers = {path: number for path in looked_at if (number := of_file(path)) != 1}
    if not numbers:
        return
    first = next(iter(numbers))
    listed = ", ".join(f"{n:,} of {one}" for one, n in sorted(Counter(numbers.values()).items()))
    among = f" ({count:,} of {len(files):,} were looked at)" if count < len(files) else ""
    print(
        f"note: {len(numbers):,} of {count:,} pictures have an EXIF orientation other than 1 "
        f"({listed}; first: {first}){among}; {_TAKEN[chosen]}",
        file=sys.stderr,
        flush=True,
    )
