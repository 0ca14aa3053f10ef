"""A folder a class, as torchvision's ImageFolder reads it, and the mistakes that people make."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.reading.folders import tell_rest
from common.reading.image import PICTURES, SUFFIXES, is_picture
from tasks.classification.labels import WORDNET_ID, Classes
from tasks.classification.pictures import Files, Pictures

_SHOWN = 3


def read(root: Path, split: str, titles: Classes | None) -> Pictures:
    """Pictures of ROOT/SPLIT/CLASS/..., in ImageFolder's order: classes and files sorted by name.

    Args:
        root: of the data set.
        split: a folder in it.
        titles: what people call the classes.

    Raises:
        UserError: a folder is missing or without pictures.
    """
    folder = root / split
    names = class_folders(root, split)
    files: list[str] = []
    numbers: list[int] = []
    empty: list[str] = []
    rest: list[str] = []
    for number, name in enumerate(names):
        every = list(_files_in(folder / name))
        found = [os.path.join(name, path) for path in every if is_picture(os.path.basename(path))]
        rest += [os.path.basename(path) for path in every]
        files += found
        numbers += [number] * len(found)
        if not found:
            empty.append(name)
    tell_rest(folder, rest, PICTURES)
    if empty:
        packed = _has_archive(folder / empty[0])
        advice = "unpack the archives in them" if packed else "fill or remove them"
        raise UserError(
            f"{folder}: {len(empty)} of its {len(names)} class folders have no picture "
            f"({_some(empty)}); allowed are {', '.join(sorted(SUFFIXES))}: {advice}"
        )
    return Pictures(
        split, _entitled(names, titles), np.array(numbers, np.int64), Files(folder, files)
    )


def class_folders(root: Path, split: str) -> list[str]:
    """Names of the class folders in ROOT/SPLIT, sorted; hidden ones do not count.

    Raises:
        UserError: there are none; the message looks for the likely mistake.
    """
    folder = root / split
    if not folder.is_dir():
        raise UserError(f"--data.root {root}: has no folder {split}{_hint(root)}")
    names = sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")
    for name in names:
        if any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
            raise UserError(
                f"{folder}: the name of the class folder {name!a} is not UTF-8, or has a tab or a "
                "line break in it; rename it"
            )
    if names:
        return names
    pictures = sum(1 for entry in os.scandir(folder) if is_picture(entry.name))
    if pictures:
        raise UserError(
            f"{folder}: {pictures:,} pictures lie in it directly; needed is a folder a class, or "
            "for ImageNet's own validation folder --data.val_list with its list"
        )
    archives = "; unpack its archives, or say --data.format shards" if _has_archive(folder) else ""
    raise UserError(f"{folder}: holds no folder; needed is a folder a class{archives}")


def _files_in(folder: Path) -> Iterator[str]:
    """Paths below a class folder, in the order in which torchvision's make_dataset walks."""
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            yield os.path.relpath(os.path.join(place, name), folder)


def _has_archive(folder: Path) -> bool:
    return any(entry.name.endswith((".tar", ".zip", ".gz")) for entry in os.scandir(folder))


def _hint(root: Path) -> str:
    if not root.is_dir():
        return ": there is no such root"
    if _has_archive(root):
        return "; unpack the archives that lie there, or say --data.format shards"
    found = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    if any(WORDNET_ID.fullmatch(name) for name in found):
        return "; it looks like one split: --data.root is the folder above it"
    named = f"found {_some(found)}" if found else "it has no folders"
    return f"; {named}: name the splits by --data.train_split and --data.val_split (pack: --splits)"


def _entitled(names: list[str], titles: Classes | None) -> Classes:
    known = dict(zip(titles.names, titles.titles, strict=True)) if titles else {}
    return Classes(tuple(names), tuple(known.get(name, name) for name in names))


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
