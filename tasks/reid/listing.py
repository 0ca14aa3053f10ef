"""Lists of pictures: which person each one shows, and which camera saw it."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

Split = Literal["train", "query", "gallery"]

_NAMED = 3


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split. Persons and cameras are names, because data sets number them freely.

    Two pictures show the same person exactly when their names are equal.
    """

    title: str
    """Where they are from, for messages."""
    paths: tuple[Path, ...]
    persons: NDArray[np.str_]
    """(N,)"""
    cameras: NDArray[np.str_]
    """(N,)"""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why files do not count -> how many."""

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def summary(self) -> str:
        """What there is, and what was left out, in one line."""
        persons, cameras = len(set(self.persons.tolist())), len(set(self.cameras.tolist()))
        text = f"{len(self):,} pictures of {persons:,} persons by {cameras} cameras ({self.title})"
        return text + self.omitted()

    def omitted(self) -> str:
        """What was left out and why, to follow a number; "" if nothing was."""
        out = [f"{count:,} {reason}" for reason, count in self.left_out.items() if count]
        return f", left out: {', '.join(out)}" if out else ""

    def fingerprint(self) -> str:
        """sha256 of all persons, cameras and paths below their common folder, in this order."""
        folder = os.path.commonpath([path.parent for path in self.paths]) if self.paths else ""
        names = (path.relative_to(folder).as_posix() for path in self.paths)
        lines = zip(names, self.persons, self.cameras, strict=True)
        text = "\n".join(" ".join(line) for line in lines)
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def pictures(
    title: str, rows: Iterable[tuple[Path, str, str]], left_out: Mapping[str, int] | None = None
) -> Pictures:
    """A list from rows of (path, person, camera)."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    paths, persons, cameras = columns
    return Pictures(
        title,
        tuple(paths),
        np.array(persons, dtype=np.str_),
        np.array(cameras, dtype=np.str_),
        left_out or {},
    )


def join(title: str, parts: Sequence[Pictures]) -> Pictures:
    """Lists one after the other."""
    left_out: dict[str, int] = {}
    for part in parts:
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    return Pictures(
        title,
        tuple(path for part in parts for path in part.paths),
        np.concatenate([part.persons for part in parts]),
        np.concatenate([part.cameras for part in parts]),
        left_out,
    )


def some(names: Iterable[object], shown: int = _NAMED) -> str:
    """The first few of many names, for a message."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:shown]) + (", ..." if len(listed) > shown else "")


def present(
    rows: Sequence[tuple[Path, str, str]], source: Path, on_error: str
) -> tuple[list[tuple[Path, str, str]], int]:
    """The rows whose files exist, and how many do not; folders are listed once, not files asked.

    Raises:
        UserError: files are missing and on_error is "stop".
    """
    places = [os.path.split(path) for path, _, _ in rows]
    files = {
        folder: set(os.listdir(folder)) if os.path.isdir(folder) else set()
        for folder in {folder for folder, _ in places}
    }
    found = [name in files[folder] for folder, name in places]
    missing = [row[0] for row, there in zip(rows, found, strict=True) if not there]
    if missing and on_error == "stop":
        raise UserError(
            f"{source}: names {len(rows):,} pictures, {len(missing):,} of them are missing "
            f"({some(missing)}); unpack the whole set, or say --data.on_error skip"
        )
    return [row for row, there in zip(rows, found, strict=True) if there], len(missing)


def require_folder(root: Path) -> None:
    """Refuse a root that is not a folder."""
    if root.is_file():
        raise UserError(f"--data.root {root}: is a file; unpack it and give the folder")
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")


def elsewhere(root: Path, wanted: str) -> str:
    """A hint where a file or folder that is not in root may be found."""
    if (root.parent / wanted).exists():
        return f"say --data.root {root.parent}"
    inside = sorted(path.parent for path in root.glob(f"*/{wanted}"))
    if inside:
        return f"say --data.root {inside[0]}"
    archives = sorted(path.name for path in root.iterdir() if path.suffix in (".zip", ".tar"))
    if archives:
        return f"{archives[0]} is not unpacked"
    return f"found {some(sorted(path.name for path in root.iterdir())) or 'an empty folder'}"
