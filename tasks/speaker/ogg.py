"""Whether an Ogg file (Vorbis, Opus) is whole: decoders leave out what is missing, in silence."""

import zlib
from functools import lru_cache
from pathlib import Path

_HEADER = 27
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_ONES = 0xFFFFFFFF
# RFC 3533's checksum runs over bits in the other order than zlib's, from 0, and is not inverted.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@lru_cache(maxsize=65536)
def ogg_fault(path: Path, size: int, changed: int) -> str | None:
    """What is wrong with the pages of an Ogg file (RFC 3533) and what to do, or None.

    Args:
        path: the file.
        size: of the file in bytes; with `changed`, what tells this file from a later one.
        changed: when it was written.
    """
    data = path.read_bytes()
    place = 0
    numbers: dict[bytes, int] = {}
    ended: set[bytes] = set()
    while data[place : place + 4] == b"OggS":
        header = data[place : place + _HEADER]
        if len(header) < _HEADER:
            break
        table = data[place + _HEADER : place + _HEADER + header[26]]
        end = place + _HEADER + header[26] + sum(table)
        if len(table) < header[26] or end > len(data):
            break
        if header[5] & _BEGIN_OF_STREAM and ended:
            return (
                "holds several recordings in a row, of which the first alone would be heard; "
                "decode them and write them as one"
            )
        stream, number = header[14:18], int.from_bytes(header[18:22], "little")
        if number != numbers.get(stream, number - 1) + 1:
            return f"lacks a part of its sound, at byte {place:,}; copy the file again"
        if _checksum(data[place:end]) != int.from_bytes(header[22:26], "little"):
            return f"is damaged at byte {place:,}; copy the file again"
        numbers[stream] = number
        if header[5] & _END_OF_STREAM:
            ended.add(stream)
        place = end
    if ended != numbers.keys():
        return (
            f"is cut short or damaged: its sound does not end before byte {place:,}; copy the file "
            "again"
        )
    return None


def _checksum(page: bytes) -> int:
    """The checksum of a page, in which its own four bytes count as zeros."""
    blank = page[:22] + bytes(4) + page[26:]
    found = zlib.crc32(blank.translate(_REVERSED), _ONES) ^ _ONES
    return int(f"{found:032b}"[::-1], 2)
