"""The first directory of a TIFF, which is also the form that EXIF has within other files."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.reading.jpeg import Bytes

ORIENTATION = 274
_SHORT = 3
_MOST_ENTRIES, _MOST_VALUES = 1000, 64
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


class Field(NamedTuple):
    """Whole numbers of 16 bits in a directory."""

    values: tuple[int, ...]
    place: int
    """Of the first one, in bytes from the beginning."""


def is_tiff(data: Bytes) -> bool:
    """Whether bytes begin as a TIFF or a BigTIFF does."""
    return bytes(data[:4]) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def fields(data: Bytes) -> dict[int, Field]:
    """The 16-bit fields of the first directory by their tags; none of what is damaged."""
    order = _BYTE_ORDERS.get(bytes(data[:2]), "<")
    big = bytes(data[2:4]) in (b"+\0", b"\0+")
    # The forms of an offset, of the number of entries, and of an entry up to its value.
    offset, count, head = (
        order + form for form in (("Q", "Q", "HHQ") if big else ("I", "H", "HHI"))
    )
    room = 8 if big else 4
    start = _number(offset, data, room)
    entries = None if start is None else _number(count, data, start)
    found: dict[int, Field] = {}
    if start is None or entries is None:
        return found
    for entry in range(min(entries, _MOST_ENTRIES)):
        at = start + struct.calcsize(count) + entry * (struct.calcsize(head) + room)
        place: int | None = at + struct.calcsize(head)
        described = _unpack(head, data, at)
        if described is None or described[1] != _SHORT:
            continue
        tag, _, amount = described
        if amount * 2 > room:
            place = _number(offset, data, at + struct.calcsize(head))
        if place is not None:
            values = _unpack(f"{order}{min(amount, _MOST_VALUES)}H", data, place)
            if values:
                found[tag] = Field(values, place)
    return found


def _number(form: str, data: Bytes, place: int) -> int | None:
    values = _unpack(form, data, place)
    return None if values is None else values[0]


def _unpack(form: str, data: Bytes, place: int) -> tuple[int, ...] | None:
    size = struct.calcsize(form)
    part = bytes(data[place : place + size])
    return struct.unpack(form, part) if len(part) == size else None


def orientation(data: Bytes) -> int:
    """The orientation 1..8 that a TIFF or EXIF states; 1 if it states none."""
    stated = fields(data).get(ORIENTATION) if is_tiff(data) else None
    return stated.values[0] if stated is not None and 1 <= stated.values[0] <= 8 else 1


def unturned(encoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A TIFF that states no orientation, so that decoders do not turn it; other files as given."""
    stated = fields(encoded).get(ORIENTATION) if is_tiff(encoded) else None
    return encoded if stated is None else _changed(encoded, {stated.place: 1})


def _changed(encoded: NDArray[np.uint8], changes: dict[int, int]) -> NDArray[np.uint8]:
    """A TIFF with other 16-bit numbers at some places."""
    changed, order = encoded.copy(), _BYTE_ORDERS[encoded[:2].tobytes()]
    for place, value in changes.items():
        changed[place : place + 2] = np.frombuffer(struct.pack(order + "H", value), np.uint8)
    return changed
