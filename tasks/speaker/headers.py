"""What the header of a recording says of its length: decoders take what is there, in silence.

Writers that cannot seek back (SoX and arecord into a pipe, recorders that lost power) leave a size
open; then the sound ends where the file does.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from common.errors import DamagedFile

Order = Literal["little", "big"]

START = 40
"""Bytes that say what kind of file it is."""

_ORDERS: dict[bytes, Order] = {b"RIFF": "little", b"RF64": "little", b"RIFX": "big", b"FORM": "big"}
_PRINTED = frozenset(range(32, 127))
_SOUND = (b"data", b"SSND", b"BODY")
_NIST_CODINGS = ("pcm", "ulaw", "mu-law", "alaw")
# Left by writers who do not know a size: SoX writes 0x7F000000 in AIFF, 0x7FFFF000 in wav, ALSA's
# arecord 0x7FFFFF00 or 0x80000000, others the largest number, signed or not; each plus or minus a
# header, and rounded down to whole frames. Sizes that are true but for these few are held to.
_HEADER = 256
_OPEN_SIZES = ((0x7F000000, 0x7F000000), (0x7FFFF000, 0x80000000), (0xFFFFF000, 0xFFFFFFFF))


def require_whole(path: Path, start: bytes) -> None:
    """Refuse a file that is shorter than its header says; `start` are its first START bytes.

    Raises:
        DamagedFile: it is, or it is a NIST SPHERE file in a coding that is not read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        said = _said(path, file, start, size)
    if said is not None and said > size + 1:
        raise DamagedFile(
            f"{path}: is cut short: its header says {said:,} bytes, found {size:,}; copy the file "
            "again"
        )


def to_the_end(path: Path, start: bytes) -> io.RawIOBase | None:
    """The file with the size of its sound filled in, if the header of a wav has that open.

    None where libsndfile reads the file by itself.

    Raises:
        DamagedFile: there is more sound than the header can say.
    """
    if start[:4] not in (b"RIFF", b"RIFX", b"RF64"):
        return None
    order = _ORDERS[start[:4]]
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = _sound_chunk(file, order, size)
        if found is None:
            return None
        begin, said = found
        if start[:4] == b"RF64":
            # The sizes are in its first chunk: of the file, then of the sound.
            if start[12:16] != b"ds64" or not _open(int.from_bytes(start[28:36], order), 64):
                return None
            sizes = (size - 8).to_bytes(8, order) + (size - begin).to_bytes(8, order)
            return _Filled(path, 20, sizes)
        # A size that looks open may be true: then the sound ends with the file, or chunks follow.
        if not _open(said, 32) or _are_chunks(file, begin + said + said % 2, order, size):
            return None
    if size - begin >= 2**32:
        raise DamagedFile(
            f"{path}: holds {size - begin:,} bytes of sound, more than a wav can say (4 GiB), so "
            "its end is not known; convert it to flac or w64"
        )
    return _Filled(path, begin - 4, (size - begin).to_bytes(4, order))


def _said(path: Path, file: BinaryIO, start: bytes, size: int) -> int | None:
    """Bytes that a file must have by its header; None if it does not say."""
    kind = start[:4]
    if kind == b"NIST":
        return _nist(path, file)
    if kind in (b".snd", b"dns."):
        order: Order = "big" if kind == b".snd" else "little"
        count = int.from_bytes(start[8:12], order)
        return None if _open(count, 32) else int.from_bytes(start[4:8], order) + count
    if kind == b"riff":
        whole = int.from_bytes(start[16:24], "little")
        return None if _open(whole, 64) else whole
    if kind == b"RF64" and start[12:16] == b"ds64":
        whole = int.from_bytes(start[20:28], "little")
        return None if _open(whole, 64) else whole + 8
    if start[:20] == b"Creative Voice File\x1a":
        return _voice(file, int.from_bytes(start[20:22], "little"), size)
    if kind not in _ORDERS or kind == b"RF64":
        return None
    return _riff(file, _ORDERS[kind], int.from_bytes(start[4:8], _ORDERS[kind]), size)


def _riff(file: BinaryIO, order: Order, count: int, size: int) -> int | None:
    """Bytes that a file of chunks must have; it says `count` of itself.

    The sound counts: what follows it may be missing, and some writers count the file wrongly. Some
    count the sound wrongly, header included; then a file of just its own size is whole.
    """
    whole = None if _open(count, 32) else 8 + count
    begin, sound = _sound_chunk(file, order, size) or (0, 0)
    if _open(sound, 32) or (whole is not None and abs(whole - size) <= 1):
        return whole
    return begin + sound


def _voice(file: BinaryIO, begin: int, size: int) -> int | None:
    """Bytes that a VOC file must have: blocks of a kind and a length, until a block of kind 0."""
    place = begin
    while place + 4 <= size:
        file.seek(place)
        kind, *length = file.read(4)
        if kind == 0:
            return place + 1
        place += 4 + int.from_bytes(bytes(length), "little")
    return place


def _open(size: int, bits: int) -> bool:
    """Whether a size is one that writers leave who do not know it."""
    if bits == 64:
        return size == 0 or size >= 2**62
    return size == 0 or any(
        first - _HEADER <= size <= last + _HEADER for first, last in _OPEN_SIZES
    )


def _chunks(
    file: BinaryIO, begin: int, order: Order, size: int
) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk from `begin` on."""
    place = begin
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], order)
        yield head[:4], place + 8, length
        place += 8 + length + length % 2


def _sound_chunk(file: BinaryIO, order: Order, size: int) -> tuple[int, int] | None:
    """Where the sound begins, and its length as the chunk says."""
    chunks = _chunks(file, 12, order, size)
    return next((chunk[1:] for chunk in chunks if chunk[0] in _SOUND), None)


def _are_chunks(file: BinaryIO, begin: int, order: Order, size: int) -> bool:
    """Whether what follows are chunks up to the end of the file, and no sound."""
    end = begin
    for name, first, length in _chunks(file, begin, order, size):
        end = first + length
        if not _PRINTED.issuperset(name) or end > size:
            return False
    return size - end <= 1


def _nist(path: Path, file: BinaryIO) -> int | None:
    """Bytes that a NIST SPHERE file must have; its header is lines of `name -type value`."""
    file.seek(0)
    lines = file.read(4096).split(b"end_head")[0].decode("latin-1").splitlines()
    fields = {words[0]: words[2] for line in lines if len(words := line.split(maxsplit=2)) == 3}
    coding = fields.get("sample_coding", "pcm").strip()
    if coding not in _NIST_CODINGS:
        raise DamagedFile(
            f"{path}: is NIST SPHERE with the coding {coding!r}, which is not read here "
            f"({', '.join(_NIST_CODINGS)}); convert it to wav, as sph2pipe -f wav does"
        )
    wanted = ("sample_count", "channel_count", "sample_n_bytes")
    numbers = [fields.get(name, "").strip() for name in wanted]
    header = lines[1].strip() if len(lines) > 1 else ""
    if not all(number.isdecimal() for number in (header, *numbers)):
        return None
    count, channels, width = map(int, numbers)
    return int(header) + count * channels * (width if coding == "pcm" else 1)


class _Filled(io.RawIOBase):
    """A file with some bytes of its header replaced, as it is read."""

    def __init__(self, path: Path, place: int, content: bytes) -> None:
        self._file, self._place, self._content = path.open("rb"), place, content

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """As of any file."""
        view = memoryview(buffer).cast("B")
        begin = self._file.tell()
        content = bytearray(self._file.read(len(view)))
        for place, byte in enumerate(self._content, start=self._place - begin):
            if 0 <= place < len(content):
                content[place] = byte
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """As of any file."""
        self._file.close()
        super().close()
