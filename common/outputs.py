"""Where results go: never onto an input, never two onto one file, never half a file."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import UserError


def places(
    inputs: Mapping[Path, Path],
    out: Path,
    suffixes: Sequence[str],
    others: Iterable[Path] = (),
    reserved: Sequence[str] = (),
) -> dict[Path, Path]:
    """Where the results of each input go: `out / f"{place}{suffix}"` for each of the suffixes.

    A place is an input's folder and its stem; of equal ones the second gets the number 2. The stem
    of `a.nii.gz` is `a`, that of a folder its whole name.

    Args:
        inputs: that results are written for, and the folder under `out` for each; `Path()` is
            `out` itself.
        out: the folder for all results.
        suffixes: what follows a place in the names of its results.
        others: further files that are read, and must stay what they are.
        reserved: names in the folder that are for something else.

    Raises:
        UserError: a file that is read would be overwritten.
    """
    read = {path.resolve(): path for path in (*inputs, *others)}
    found: dict[Path, Path] = {}
    taken = {out / name for name in reserved}
    for path, folder in inputs.items():
        stem = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
        place, number = folder / stem, 1
        while any(out / f"{place}{suffix}" in taken for suffix in suffixes):
            number += 1
            place = folder / f"{stem}_{number}"
        targets = [out / f"{place}{suffix}" for suffix in suffixes]
        taken.update(targets)
        for target in targets:
            overwritten = read.get(target.resolve())
            if overwritten is not None:
                raise UserError(
                    f"--out {out}: would overwrite the input {overwritten}; choose another folder"
                )
        found[path] = place
    return found


def names(inputs: Sequence[Path]) -> dict[Path, str]:
    """What each input is called in results: its file name, or its path if others have that."""
    counts = Counter(path.name for path in inputs)
    return {path: path.name if counts[path.name] == 1 else str(path) for path in inputs}


def make_folder(out: Path) -> None:
    """Make the folder that --out names."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror})") from None


@contextlib.contextmanager
def written(out: Path) -> Iterator[None]:
    """Stand around what writes results into the folder that --out names.

    Raises:
        UserError: the system refuses a file, as on a full disk.
    """
    make_folder(out)
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8; names of files that are not come out as they are on disk.

    Atomic: where it fails, as on a full disk, the old file stays.

    Raises:
        UserError: it cannot be written.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
