"""Pictures and their label maps on disk, paired by two folders or by a list file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.reading.annotations import read_text
from common.reading.image import SUFFIXES, pictures_in

_NAMED = 3


class Pair(NamedTuple):
    """A picture and the label map that belongs to it."""

    image: Path
    label: Path


def from_folders(images: Path, labels: Path) -> list[Pair]:
    """Pairs of equal stems in two folders, sorted by name; other files do not count.

    Raises:
        UserError: a folder is missing or empty, a picture has no label, or two files have one stem.
    """
    pictures, maps = _by_stem(images), _by_stem(labels)
    missing = [path.name for stem, path in pictures.items() if stem not in maps]
    if missing:
        hint = _case_hint((Path(name).stem for name in missing), maps)
        raise UserError(
            f"{labels}: no label for {len(missing)} of the {len(pictures)} pictures in {images} "
            f"({_some(missing)}){hint}"
        )
    return [Pair(path, maps[stem]) for stem, path in pictures.items()]


def from_list(file: Path, root: Path, other_suffixes: Sequence[str] = ()) -> list[Pair]:
    """Pairs of a list file: on each line a picture and its label, relative to `root` or absolute.

    Args:
        file: the list.
        root: what its paths count from.
        other_suffixes: of a label that does not exist as the list has it, such as ".jpg": a mask
            of DUTS-TR is circulated so.

    Raises:
        UserError: the list is missing, empty or of another form, or names files that do not exist.
    """
    pairs: list[Pair] = []
    for number, line in enumerate(_lines(file), start=1):
        words = line.split()
        if words and len(words) != 2:
            raise UserError(
                f"{file}, line {number}: needs a picture and its label, found {len(words)} words"
            )
        if words:
            image, label = (_place(root, word) for word in words)
            pairs.append(Pair(image, _existing(label, other_suffixes)))
    if not pairs:
        raise UserError(f"{file}: is empty")
    missing = [path for pair in pairs for path in pair if not path.is_file()]
    if missing:
        folders = {path.parent for path in missing if path.parent.is_dir()}
        there = [entry.name for folder in folders for entry in folder.iterdir()]
        hint = _case_hint((path.name for path in missing), there)
        raise UserError(
            f"{file}: {len(missing)} of the files that it names do not exist "
            f"({_some([str(path) for path in missing])}){hint}; its paths count from {root}"
        )
    return pairs


def base_of(file: Path, folders: Sequence[Path]) -> Path:
    """The folder from which a list file's first picture is found, else the first of the folders.

    Lists are circulated with paths from their own folder, from the one above, or from elsewhere.
    """
    first = next((line.split()[0] for line in _lines(file) if line.strip()), "")
    return next((folder for folder in folders if _place(folder, first).is_file()), folders[0])


def _place(root: Path, word: str) -> Path:
    """The file that a list names; circulated lists begin paths from the root with a slash."""
    path = Path(word)
    return path if path.is_absolute() and path.is_file() else root / word.lstrip("/")


def _existing(label: Path, other_suffixes: Sequence[str]) -> Path:
    """The label, or the same name with one of the other suffixes if only that exists."""
    if other_suffixes and not label.is_file():
        for suffix in other_suffixes:
            if label.with_suffix(suffix).is_file():
                return label.with_suffix(suffix)
    return label


def _case_hint(missing: Iterable[str], present: Iterable[str]) -> str:
    """What to say when names that are missing are there in another case."""
    lowered = {name.lower() for name in present}
    if any(name.lower() in lowered for name in missing):
        return "; some differ in upper and lower case only: rename them"
    return ""


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in pictures_in(folder):
        if path.stem in found:
            raise UserError(
                f"{folder}: {found[path.stem].name} and {path.name} have one name; remove one"
            )
        found[path.stem] = path
    if not found:
        raise UserError(f"{folder}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})")
    return found


def _lines(file: Path) -> list[str]:
    return read_text(file, "list of pictures").splitlines()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
