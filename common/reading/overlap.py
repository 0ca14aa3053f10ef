"""Which files of one split are in another as well: under the same path, or with the same bytes."""

import hashlib
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

MOST = 5_000
"""Files of a split that are looked for; of a larger one so many, spread evenly."""

_END = 4096
# Most of the time goes by in waiting for a disk or the network.
_THREADS = 16


class Overlap(NamedTuple):
    """What two splits have in common."""

    compared: int
    """Files that were looked for."""
    found: list[tuple[str, str]]
    """Those that are in the other split, each with its path there."""


def compare(others: Sequence[Path | str], files: Sequence[Path | str]) -> Overlap:
    """Look for files among others: by path, then by size, last bytes and, if need be, sha256.

    Few files are read, as few have an equal size. Files that are empty or cannot be read are equal
    to none; who needs them names them.
    """
    wanted = list(dict.fromkeys(str(file) for file in files))
    wanted = wanted[:: -(-len(wanted) // MOST) or 1]
    there = dict.fromkeys(str(file) for file in others)
    found = {file: file for file in wanted if file in there}
    left, right = [file for file in wanted if file not in found], list(there)
    for key in (_size, _end):
        left, right = _with_equal(key, left, right)
    by_content = dict(zip(_keys(_digest, right), right, strict=True))
    for file, digest in zip(left, _keys(_digest, left), strict=True):
        if digest is not None and digest in by_content:
            found[file] = by_content[digest]
    return Overlap(len(wanted), [(file, found[file]) for file in wanted if file in found])


def _with_equal(
    key: Callable[[str], Hashable], left: list[str], right: list[str]
) -> tuple[list[str], list[str]]:
    """The files of both sides whose keys the other side has."""
    keys = _keys(key, left), _keys(key, right) if left else [None] * len(right)
    both = set(keys[0]) & set(keys[1]) - {None}
    one, other = (
        [file for file, key in zip(side, found, strict=True) if key in both]
        for side, found in zip((left, right), keys, strict=True)
    )
    return one, other


def _keys(key: Callable[[str], Hashable], files: list[str]) -> list[Hashable]:
    """The key of each file."""
    step = -(-len(files) // _THREADS) or 1
    parts = [files[first : first + step] for first in range(0, len(files), step)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return [one for part in pool.map(lambda part: list(map(key, part)), parts) for one in part]


def _size(file: str) -> int | None:
    try:
        return os.stat(file).st_size or None
    except OSError:
        return None


def _end(file: str) -> bytes | None:
    try:
        with open(file, "rb") as content:
            content.seek(max(0, os.fstat(content.fileno()).st_size - _END))
            return content.read(_END)
    except OSError:
        return None


def _digest(file: str) -> bytes | None:
    try:
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").digest()
    except OSError:
        return None
