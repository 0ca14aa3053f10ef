"""ImageNet's validation set as it is handed out: one folder of pictures, and a list beside it.

Two kinds of list are in use:

- "ILSVRC2012_val_00000001.JPEG 65": a name and a class on each line, the class as a number in the
  order of the sorted WordNet ids, counted from 0, or as the name of a class;
- the development kit's `ILSVRC2012_validation_ground_truth.txt`: a number on each line for the
  pictures in the order of their names. These numbers count from 1 in an order of ImageNet's own,
  which `meta.mat`, beside it in the kit, translates to WordNet ids.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_text, require_once
from common.reading.image import pictures_in
from common.reading.matlab import read_mat
from tasks.classification import labels
from tasks.classification.labels import Classes
from tasks.classification.pictures import Files, Pictures

META = "meta.mat"


def read(root: Path, split: str, file: Path, classes: Classes | None) -> Pictures:
    """The listed pictures of the folder ROOT/SPLIT.

    Args:
        root: of the data set.
        split: the folder of the pictures.
        file: the list, of either kind.
        classes: those of the training set, if they are known; none takes ImageNet's 1000.

    Raises:
        UserError: a file is missing, or the list does not fit the folder or the classes.
    """
    folder = root / split
    if not folder.is_dir():
        raise UserError(f"--data.root {root}: has no folder {split}, which --data.val_list is of")
    rows = _rows(file)
    if len(rows[0]) == 1:
        names = _names(folder)
        if len(names) != len(rows):
            raise UserError(
                f"--data.val_list {file}: has {len(rows):,} lines, but {folder} has {len(names):,} "
                "pictures"
            )
        classes, words = _official(file, [row[0] for row in rows], classes)
    else:
        names, words = [row[0] for row in rows], [row[1] for row in rows]
        _require(folder, names, file)
        classes = classes or labels.imagenet()
    numbers = _numbers(words, classes, file)
    require_once(names, file, "picture")
    return Pictures(split, classes, numbers, Files(folder, names))


def _rows(file: Path) -> list[list[str]]:
    """The words of each line, one or two in all."""
    if not file.is_file():
        raise UserError(f"--data.val_list {file}: no such file")
    lines = read_text(file, "list of pictures").splitlines()
    rows = [line.split() for line in lines if line.strip()]
    if not rows:
        raise UserError(f"--data.val_list {file}: is empty")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]) or len(row) > 2:
            raise UserError(
                f"--data.val_list {file}, line {number}: has {len(row)} words; needed is a picture "
                "and its class on each line, or on each line a number of the development kit"
            )
    return rows


def _official(
    file: Path, words: Sequence[str], classes: Classes | None
) -> tuple[Classes, list[str]]:
    """Names of classes for the development kit's numbers."""
    # Imported here: nothing else in this task needs it.
    meta = file.with_name(META)
    if not meta.is_file():
        raise UserError(
            f"--data.val_list {file}: the numbers of the development kit mean nothing without "
            f"{META} beside it"
        )
    what = "the kit's table of classes"
    content = read_mat(meta, what, squeeze=True)
    try:
        synsets = content["synsets"]
        # Of the hierarchy in the file, the classes are the leaves.
        leaves = [row for row in synsets if int(row["num_children"]) == 0]
        names = {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in leaves}
        titles = {str(row["WNID"]): str(row["words"]) for row in leaves}
    except (LookupError, ValueError, TypeError) as error:
        raise DamagedFile(f"{meta}: is not {what} ({error})") from None
    unknown = [word for word in words if word not in names]
    if unknown:
        raise UserError(
            f"--data.val_list {file}: {unknown[0]} is not the number of a class in {meta}"
        )
    if classes is None:
        ordered = sorted(titles)
        classes = Classes(tuple(ordered), tuple(titles[name] for name in ordered))
    return classes, [names[word] for word in words]


def _numbers(words: Sequence[str], classes: Classes, file: Path) -> np.ndarray:
    """Numbers of classes that a list gives as numbers or by name."""
    known = {name: number for number, name in enumerate(classes.names)}
    if all(word.isdecimal() for word in words) and not set(words) <= known.keys():
        numbers = np.array([int(word) for word in words], dtype=np.int64)
        if numbers.max() >= len(classes):
            counted = ""
            if numbers.min() == 1 and numbers.max() == len(classes):
                counted = "; it seems to count from 1, needed is from 0"
            raise UserError(
                f"--data.val_list {file}: has class {numbers.max()}, but there are "
                f"{len(classes)}, from 0 to {len(classes) - 1}{counted}"
            )
        return numbers
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UserError(
            f"--data.val_list {file}: {unknown[0]} is none of the {len(classes)} classes, such as "
            f"{classes.names[0]}"
        )
    return np.array([known[word] for word in words], dtype=np.int64)


def _names(folder: Path) -> list[str]:
    return [path.name for path in pictures_in(folder)]


def _require(folder: Path, names: Sequence[str], file: Path) -> None:
    present = set(os.listdir(folder))
    missing = [name for name in names if name not in present and not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"--data.val_list {file}: {len(missing):,} of its {len(names):,} pictures are not in "
            f"{folder}, first {missing[0]}"
        )
