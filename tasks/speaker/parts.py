"""Embeddings of many recordings, on disk at any time: parts first, then all of them in one file.

A part is written whole or not at all, so that --resume can trust what it finds.
"""

import zlib
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands.journal import require_finished
from common.errors import UserError
from tasks.speaker.scoring import Embeddings

_FINISHED = "finished.txt"

SIZE = 500
"""Recordings of a part at most."""


class Part(NamedTuple):
    """Embeddings of some recordings."""

    names: NDArray[np.str_]
    """(N,) paths as they were given."""
    embeddings: Embeddings
    """(N, D)"""


def begin(folder: Path, settings: str, resume: bool) -> set[str]:
    """Make the folder ready; returns the names of the recordings that are embedded in it.

    Args:
        folder: of the parts.
        settings: hash of all that decides an embedding.
        resume: keep the parts that are there.

    Raises:
        UserError: they are of another model or of other settings, or damaged; or of a command that
            was stopped, and resume is not set.
    """
    outputs.make_folder(folder)
    files = _files(folder)
    if not resume:
        require_finished(folder, bool(files), (folder / _FINISHED).is_file())
        for file in files:
            file.unlink()
    names: set[str] = set()
    for file in _files(folder):
        part, own = _read(file)
        if own != settings:
            raise UserError(
                f"--resume: the embeddings in {folder} are of another model or of other settings; "
                "repeat those, or name another --out"
            )
        names.update(part.names.tolist())
    (folder / _FINISHED).unlink(missing_ok=True)
    return names


def add(folder: Path, settings: str, part: Part) -> None:
    """Write one more part.

    Raises:
        UserError: it cannot be written.
    """
    files = _files(folder)
    number = int(files[-1].stem) + 1 if files else 0
    _save(folder / f"{number:06d}.npz", **part._asdict(), settings=np.array(settings))


def end(folder: Path) -> None:
    """Note that nothing is left to be embedded: a new start may then delete the parts."""
    outputs.write_text(folder / _FINISHED, "")


def join(folder: Path, target: Path) -> Part | None:
    """Write all parts, in the order in which they came, as one file; None if there are none.

    Raises:
        UserError: it cannot be written.
    """
    parts = [_read(file)[0] for file in _files(folder)]
    if not parts:
        return None
    whole = Part(*map(np.concatenate, zip(*parts, strict=True)))
    _save(target, **whole._asdict())
    return whole


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.npz"))


def _save(file: Path, **arrays: NDArray[np.generic]) -> None:
    """Write a file whole: a command that is stopped leaves none that is cut."""
    unfinished = file.with_name(file.name + ".tmp")
    try:
        with unfinished.open("wb") as content:
            np.savez(content, **arrays)  # type: ignore[arg-type]
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None


def _read(file: Path) -> tuple[Part, str]:
    """A part and its settings."""
    try:
        with np.load(file, allow_pickle=False) as content:
            return Part(content["names"], content["embeddings"]), str(content["settings"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(f"{file}: is not a part that predict wrote ({error})") from None
