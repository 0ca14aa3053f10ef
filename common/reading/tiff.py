"""The first directory of a TIFF, which is also the form that EXIF has within other files."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile
from common.reading.jpeg import Bytes

ORIENTATION = 274
_PHOTOMETRIC, _BITS, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 262, 258, 277, 338, 339
_BLACK_IS_ZERO, _RGB = 1, 2
_SIGNED = 2
_UNSPECIFIED, _UNASSOCIATED = 0, 2
_PRIVATE = 65000  # a tag that no decoder looks at
_SHORT = 3
_MOST_SAMPLES = 4
_MOST_ENTRIES, _MOST_VALUES = 1000, 64
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


class Field(NamedTuple):
    """Whole numbers of 16 bits in a directory."""

    values: tuple[int, ...]
    place: int
    """Of the first one, in bytes from the beginning."""
    entry: int
    """Where the directory's entry begins: tag, type, count, and the values or their place."""


def is_tiff(data: Bytes) -> bool:
    """Whether bytes begin as a TIFF or a BigTIFF does."""
    return bytes(data[:4]) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class _Form(NamedTuple):
    """How `struct` calls the numbers of a TIFF."""

    order: str
    offset: str
    entries: str
    """How many a directory has."""
    head: str
    """An entry up to its value."""


def _form(data: Bytes) -> _Form:
    """The form of a TIFF or, with offsets of 64 bits, a BigTIFF."""
    order = _BYTE_ORDERS.get(bytes(data[:2]), "<")
    big = bytes(data[2:4]) in (b"+\0", b"\0+")
    return _Form(
        order, *(order + form for form in (("Q", "Q", "HHQ") if big else ("I", "H", "HHI")))
    )


def fields(data: Bytes) -> dict[int, Field]:
    """The 16-bit fields of the first directory by their tags; none of what is damaged."""
    order, offset, count, head = _form(data)
    room = struct.calcsize(offset)
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
                found[tag] = Field(values, place, at)
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


def is_deep(encoded: NDArray[np.uint8]) -> bool:
    """Whether a TIFF has 16 bits in every band."""
    bits = fields(encoded).get(_BITS)
    return bits is not None and set(bits.values) == {16}


def is_deep_grey(encoded: NDArray[np.uint8]) -> bool:
    """Whether a TIFF has one band of 16 bits."""
    samples = fields(encoded).get(_SAMPLES)
    return is_deep(encoded) and (not samples or samples.values == (1,))


def plain(encoded: NDArray[np.uint8], name: object) -> NDArray[np.uint8]:
    """A TIFF whose pixels decoders take as they are stored: not turned and not multiplied.

    Decoders turn a TIFF as its orientation says and multiply its colours by a further band that is
    called unassociated alpha, whatever is in it; three or four bands that are called grey they take
    for one or refuse. The answer states none of that: its first three bands are red, green, blue.
    Grey with a second band, in tiles, is the one form that OpenCV mixes up nevertheless.

    Raises DamagedFile for more than four bands, which OpenCV does not decode, and for levels that
    are signed, of which decoders keep the lower or the upper half.
    """
    found = fields(encoded)
    samples = found[_SAMPLES].values[0] if _SAMPLES in found else 1
    if samples > _MOST_SAMPLES:
        raise DamagedFile(
            f"{name}: is a TIFF of {samples} bands; up to {_MOST_SAMPLES} are read, of which the "
            "first three are red, green and blue: write these into a file of their own"
        )
    if _SAMPLE_FORMAT in found and _SIGNED in found[_SAMPLE_FORMAT].values:
        raise DamagedFile(
            f"{name}: is a TIFF of signed numbers; write its levels as 0 to 255 or as 0 to 65535"
        )
    changed = _unturned(encoded, found)
    if samples >= 3 and _PHOTOMETRIC in found and found[_PHOTOMETRIC].values[0] == _BLACK_IS_ZERO:
        _write(changed, found[_PHOTOMETRIC].place, "H", _RGB)
    if _EXTRA_SAMPLES in found:
        _state_further_bands(changed, found[_EXTRA_SAMPLES], samples - (3 if samples >= 3 else 1))
    return changed


def _state_further_bands(changed: NDArray[np.uint8], extra: Field, count: int) -> None:
    """State 0 or 1 bands besides the colours, of no known meaning."""
    if count == 0:
        _write(changed, extra.entry, "H", _PRIVATE)
        return
    head = _form(changed).head
    _write(changed, extra.entry, head, _EXTRA_SAMPLES, _SHORT, 1)
    if extra.values[0] == _UNASSOCIATED or len(extra.values) > 1:
        _write(changed, extra.entry + struct.calcsize(head), "H", _UNSPECIFIED)


def unturned(encoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A TIFF that states no orientation, so that decoders do not turn it; other files as given."""
    return _unturned(encoded, fields(encoded)) if is_tiff(encoded) else encoded


def _unturned(encoded: NDArray[np.uint8], found: dict[int, Field]) -> NDArray[np.uint8]:
    changed = encoded.copy()
    if ORIENTATION in found:
        _write(changed, found[ORIENTATION].place, "H", 1)
    return changed


def _write(changed: NDArray[np.uint8], place: int, form: str, *values: int) -> None:
    """Write whole numbers into a TIFF."""
    content = struct.pack(_form(changed).order + form.lstrip("<>"), *values)
    changed[place : place + len(content)] = np.frombuffer(content, np.uint8)
