"""Features on disk as they are found, in parts that are each written whole: `--resume` goes on.

A part is a file like `features.npz`, of some of the pictures: `paths` (N,), `features` (N, C).
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands.journal import require_finished
from common.errors import UserError

Feature = NDArray[np.float32]
"""(C,)"""

_SETTINGS, _FINISHED = "settings.txt", "finished.txt"


def begin(folder: Path, settings: str, resume: bool) -> set[str]:
    """Make the folder ready; returns the `key` of what is finished in it. On one rank only.

    Args:
        folder: for the parts.
        settings: a hash of all that decides a feature.
        resume: whether to go on with the parts that are there; else they are deleted.

    Raises:
        UserError: they are of another model or of other settings, or damaged; or of a command that
            was stopped, and resume is not set.
    """
    outputs.make_folder(folder)
    file = folder / _SETTINGS
    if not resume:
        require_finished(folder, bool(_files(folder)), (folder / _FINISHED).is_file())
        for path in _files(folder):
            path.unlink()
    elif _files(folder) and not (file.is_file() and file.read_text() == settings):
        raise UserError(
            f"--resume: the features in {folder} were found by another model or under other "
            "settings; repeat those, or name another --out"
        )
    outputs.write_text(file, settings)
    found = set(read(folder))
    (folder / _FINISHED).unlink(missing_ok=True)
    return found


def end(folder: Path) -> None:
    """Note that nothing is left to be found: a new start may then delete the parts."""
    outputs.write_text(folder / _FINISHED, "")


def add(folder: Path, paths: Sequence[Path], features: NDArray[np.float32]) -> None:
    """Write a part, if there is any picture in it; it then survives the end of the process."""
    if paths:
        write(folder / f"{len(_files(folder)):06d}.npz", [key(path) for path in paths], features)


def read(folder: Path) -> dict[str, Feature]:
    """The features of all parts, by the `key` of their pictures.

    Raises:
        UserError: a part is damaged.
    """
    found: dict[str, Feature] = {}
    for path in _files(folder):
        try:
            with np.load(path) as content:
                found |= zip(content["paths"].tolist(), content["features"], strict=True)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: is damaged ({error}); delete it") from error
    return found


def key(path: Path) -> str:
    """What a picture is called in parts: its absolute path."""
    return str(path.resolve())


def write(path: Path, names: Sequence[str], features: NDArray[np.float32]) -> None:
    """Write an NPZ file of features (N, C); it is there whole or as it was before."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, paths=np.array(names), features=features)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))
