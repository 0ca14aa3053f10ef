"""Data sets in VOC's layout: JPEGImages, and lists of the splits under ImageSets."""

import re
from pathlib import Path

from common.errors import UserError
from common.reading.annotations import read_text

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""VOC's twenty classes of objects."""

CLASS_FILE = "classes.txt"
"""Where a set with classes of its own names them, one per line, in the order of the labels."""

_OF_ONE_CLASS = re.compile(r"(.*\S)\s+(?:-1|0|1)")


def list_file(root: Path, kind: str, split: str, otherwise: str, hint: str = "") -> Path:
    """`ImageSets/{kind}/{split}.txt` under a root such as VOCdevkit/VOC2012.

    Args:
        root: the data set.
        kind: "Main" or "Segmentation".
        split: the split.
        otherwise: what to do if the set has another layout, such as "say --data.format coco".
        hint: what to add if it has no such split.

    Raises:
        UserError: it is not there; the message says what is instead.
    """
    _require_layout(root, kind, otherwise)
    lists = root / "ImageSets" / kind
    file = lists / f"{split}.txt"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in lists.glob("*.txt"))) or "none"
        raise UserError(f"{file}: no such split; there are {known}{hint}")
    return file


def names(file: Path) -> list[str]:
    """The pictures that a list names, one per line, without suffix; names may have spaces.

    The list of one class has a second column of -1, 0 and 1, which is left out.

    Raises:
        UserError: it is missing or empty.
    """
    lines = [line.strip() for line in read_text(file, "list of pictures").splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{file}: is empty")
    columns = [_OF_ONE_CLASS.fullmatch(line) for line in lines]
    found = [column[1] for column in columns if column]
    # Pictures called "photo 0" and "photo 1" are not a column: one name would be left of them.
    return found if len(set(found)) == len(lines) else lines


def own_classes(root: Path) -> tuple[str, ...] | None:
    """The names in a root's class file; None without one.

    Raises:
        UserError: it is empty, or not UTF-8.
    """
    file = root / CLASS_FILE
    if not file.is_file():
        return None
    lines = read_text(file, "list of classes").splitlines()
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise UserError(f"{file}: is empty; it takes one class per line")
    return found


def _require_layout(root: Path, kind: str, otherwise: str) -> None:
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    if (root / "ImageSets" / kind).is_dir():
        return
    nested = [*root.glob("VOC20*"), *root.glob("VOCdevkit/VOC20*")]
    archives = sorted([*root.glob("VOCtrainval*.tar"), *root.glob("VOCtest*.tar")])
    if nested:
        hint = f"say --data.root {nested[0]}"
    elif archives:
        hint = f"{archives[0]} is not unpacked"
    elif (root.parent / "ImageSets" / kind).is_dir():
        hint = f"say --data.root {root.parent}"
    else:
        hint = otherwise
    raise UserError(f"--data.root {root}: has no folder ImageSets/{kind}; {hint}")
