"""JPEG by a decoder that does not conceal damage; its pixels are those of OpenCV's, bit for bit.

Both are libjpeg-turbo. Where data are missing or no code of the file's, that library warns and
fills in grey: OpenCV prints its words without the file's name, here they are an error.

What cannot be known: bytes that were changed into other sound codes give wrong colours, and no
decoder can tell. The decoder words its first warning only, so damage behind a harmless one stays
unnoticed, and so does damage in a JPEG whose chroma is sampled in a rare way, which OpenCV decodes.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from common.errors import DamagedFile

START_OF_SCAN = 0xDA
_END_OF_PICTURE = 0xD9

_LEFT_BY_ENCODERS = 16
_LEFT = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_HARMLESS = re.compile(
    # Between tables and frame header, before any data.
    r"Corrupt JPEG data: \d+ extraneous bytes before marker 0x(db|dd|c0|c1|c2|e\w|fe)"
    r"|Corrupt JPEG data: bad ICC marker"
    r"|Invalid SOS parameters for sequential JPEG"
    r"|Unknown Adobe color transform code"
    r"|Warning: unknown JFIF revision number"
)
_UNKNOWN = "Could not determine subsampling"
_CUT = "Premature end of JPEG file"

# In compressed data a marker is 0xFF and a byte that is no stuffed zero, fill byte or restart.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# How many codes of each length the standard has for the brightness; an end of a block is 1010.
_STANDARD_CODES = bytes.fromhex("10 00 02 01 03 03 02 04 03 05 05 04 04 00 00 01 7d")
# As codes of that table, 85 coefficients of -1 in a row.
_NO_CODES = bytes(32)


class Bytes(Protocol):
    """Bytes of a file: `bytes`, an array of them, or a mapped file."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> "bytes | NDArray[np.uint8]": ...


class Segment(NamedTuple):
    """A part of a JPEG's header."""

    kind: int
    """The second byte of its marker."""
    start: int
    """Where its content starts, in bytes from the beginning, and where it ends."""
    end: int


def is_jpeg(data: Bytes) -> bool:
    """Whether bytes begin as a JPEG does."""
    return bytes(data[:3]) == b"\xff\xd8\xff"


def segments(data: Bytes) -> Iterator[Segment]:
    """The segments up to the first scan of a JPEG, which is the last one; none of what is damaged.

    Embedded previews lie within segments, so their own are not among them.
    """
    place = 2
    while len(marker := bytes(data[place : place + 4])) == 4 and marker[0] == 0xFF:
        kind = marker[1]
        if kind == 0xFF:  # a fill byte
            place += 1
            continue
        if kind == _END_OF_PICTURE:
            return
        following = place + 2 + int.from_bytes(marker[2:], "big")
        yield Segment(kind, place + 4, following)
        if kind == START_OF_SCAN:
            return
        place = following


def decode(
    encoded: NDArray[np.uint8], name: object, colour: Literal["RGB", "BGR"], reduction: int
) -> NDArray[np.uint8] | None:
    """Picture (H, W, 3) as stored; None where the chroma is sampled in a way that is not known.

    `reduction` divides both sides, rounded up. Raises DamagedFile in the decoder's words.
    """
    try:
        image = _decode(encoded, colour, reduction, strict=True)
        words = "zeros within its data that are no codes" if _has_zeros(encoded) else ""
    except ValueError as error:
        image, words = None, str(error)
    if _is_harmless(words):
        try:
            return _decode(encoded, colour, reduction, strict=False)
        except ValueError as error:
            words = str(error)
    if not words:
        return image
    whole = any(one.kind == START_OF_SCAN and one.end <= encoded.size for one in segments(encoded))
    if _UNKNOWN in words and whole:
        return None
    if _CUT in words or not whole:
        raise DamagedFile(f"{name}: the picture is cut short ({words}); copy the file again")
    raise DamagedFile(f"{name}: the picture is damaged ({words}); copy the file again")


def _decode(
    encoded: NDArray[np.uint8], colour: Literal["RGB", "BGR"], reduction: int, strict: bool
) -> NDArray[np.uint8]:
    height, width = 0, 0
    if reduction > 1:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded, strict=strict)
    image = simplejpeg.decode_jpeg(
        encoded,
        colour,
        min_height=-(-height // reduction),
        min_width=-(-width // reduction),
        strict=strict,
    )
    return np.asarray(image, np.uint8)


def _is_harmless(words: str) -> bool:
    """Whether a warning is about bytes that are no part of the picture."""
    left = _LEFT.search(words)
    if left:
        return int(left.group(1)) <= _LEFT_BY_ENCODERS
    return _HARMLESS.search(words) is not None


def _has_zeros(encoded: NDArray[np.uint8]) -> bool:
    """Whether zeros stand in the first scan for data that were lost.

    Known with the standard's Huffman tables, that is of most cameras and libraries: the decoder
    takes zeros for codes there, which no encoder writes in such numbers.
    """
    data = encoded.tobytes()
    found = data.rfind(_NO_CODES)
    if found < 0:
        return False
    tables = list(segments(data))
    if not tables or tables[-1].kind != START_OF_SCAN or found < tables[-1].end:
        return False
    scan = tables[-1]
    header = data[scan.start : scan.end]
    of_brightness = any(choice & 15 == 0 for choice in header[2:-3:2])
    standard = any(_STANDARD_CODES in data[one.start : one.end] for one in tables[:-1])
    following = _MARKER.search(data, scan.end)
    end = following.start() if following else len(data)
    return of_brightness and standard and data.find(_NO_CODES, scan.end, end) >= 0
