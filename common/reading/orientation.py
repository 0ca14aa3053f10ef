"""The EXIF orientation of pictures: which of eight ways a viewer turns what is stored."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading import jpeg, tiff
from common.reading.jpeg import Bytes

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


def turned(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """What is stored (H, W, ...), as a viewer turns it for an orientation 1..8."""
    if number in _ROTATIONS:
        return np.asarray(cv2.rotate(image, _ROTATIONS[number]), np.uint8)
    if number in (2, 4):
        return np.asarray(cv2.flip(image, 1 if number == 2 else 0), np.uint8)
    if number in (5, 7):
        rotated = image if number == 5 else cv2.rotate(image, cv2.ROTATE_180)
        return np.asarray(cv2.transpose(rotated), np.uint8)
    return image
