"""The files of one kind in a folder, and a line about those that are left out."""

import functools
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

COMPANIONS = frozenset({
    ".avsc", ".cache", ".cfg", ".cls", ".csv", ".css", ".ctm", ".db", ".html", ".ini", ".js",
    ".json", ".jsonl", ".lab", ".log", ".lst", ".mat", ".md", ".names", ".npy", ".npz", ".phn",
    ".pkl", ".py", ".stm", ".textgrid", ".toml", ".trn", ".tsv", ".txt", ".wrd", ".xml",
    ".yaml", ".yml",
})  # fmt: skip
"""Suffixes of what lies beside pictures and recordings and is none: lists, labels, notes."""


class Kind(NamedTuple):
    """What is looked for."""

    name: str
    """As in "not a NAME format"."""
    suffixes: frozenset[str]
    """In lower case, with their dot."""

    def has(self, name: str) -> bool:
        """Whether a file of that name is one; hidden ones, as macOS leaves beside each, are not."""
        return _suffix(name) in self.suffixes and not name.startswith(".")


def inside(folder: Path, kind: Kind) -> list[Path]:
    """The files of the kind directly in a folder, sorted by name; others are told."""
    with os.scandir(folder) as entries:
        names = sorted(one.name for one in entries if one.is_file())
    tell_rest(folder, names, kind)
    return [folder / name for name in names if kind.has(name)]


def below(folder: Path, kind: Kind) -> list[Path]:
    """The files of the kind in a folder and in those within it, sorted folder by folder."""
    found: list[Path] = []
    every: list[str] = []
    for place, within, names in os.walk(folder):
        within[:] = sorted(name for name in within if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if kind.has(name)]
        every += names
    tell_rest(folder, every, kind)
    return found


def left_out(names: Iterable[str], kind: Kind) -> Counter[str]:
    """Number of files by suffix that are neither of the kind nor hidden nor a known companion."""
    rest = [name for name in names if not kind.has(name) and not name.startswith(".")]
    suffixes = [_suffix(name) for name in rest if not _is_companion(name)]
    return Counter(suffix or "no suffix" for suffix in suffixes)


def tell_rest(folder: Path, names: Iterable[str], kind: Kind) -> None:
    """Say on stderr how many of the files are left out, if any are."""
    counts = left_out(names, kind)
    total = counts.total()
    if total:
        order = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        listed = ", ".join(f"{suffix} {count:,}" for suffix, count in order)
        files = "file" if total == 1 else "files"
        _say(
            f"{folder}: left out: {total:,} {files} ({listed}): not a {kind.name} format that is "
            "read here"
        )


@functools.cache
def _say(line: str) -> None:
    """Print a line, once: a folder is listed for several ends, and on every rank."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_companion(name: str) -> bool:
    """README, LICENSE and their like have no suffix."""
    return _suffix(name) in COMPANIONS or ("." not in name and name.isupper())
