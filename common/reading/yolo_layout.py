"""What data.yaml says of a data set in YOLO's form, and where its pictures lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import DamagedFile, UserError
from common.reading import image, voc
from common.reading.annotations import read_text
from common.reading.records import SplitFiles


@dataclass(frozen=True)
class DataSet:
    """What data.yaml says."""

    file: Path
    names: tuple[str, ...]
    joints: int
    """Of each person; 0 without."""
    numbers: int
    """Of each joint: x, y and, if 3, visibility."""
    sources: tuple[Path, ...]
    """Folders of the split's pictures, or lists of them."""


def data_set(root: Path, split: str, files: SplitFiles, mirrored: Sequence[int]) -> DataSet:
    """The settings of a split, from data.yaml or classes.txt.

    Raises:
        UserError: there are none, they contradict themselves, or they have other joints.
        DamagedFile: they are not YAML.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    file = files.annotations_in(root) or _settings_file(root)
    content: Any = {}
    if file.name != voc.CLASS_FILE:
        try:
            content = yaml.safe_load(read_text(file, "YAML file"))
        except yaml.YAMLError as error:
            raise DamagedFile(
                f"{file}: is not valid YAML ({' '.join(str(error).split())})"
            ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{file}: is not a YOLO data set's; it has names, and folders for the splits"
        )
    names = _names(content, file, root)
    joints, numbers = _joints(content, file, mirrored)
    pictures = files.pictures_in(root)
    sources = (pictures,) if pictures is not None else _sources(content, file, root, split)
    return DataSet(file, names, joints, numbers, tuple(sources))


def _settings_file(root: Path) -> Path:
    """data.yaml, or the only YAML file, or classes.txt."""
    found = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    usual = [path for path in found if path.stem == "data"]
    chosen = usual or found
    if len(chosen) == 1:
        return chosen[0]
    if not found and (root / voc.CLASS_FILE).is_file():
        return root / voc.CLASS_FILE
    there = f"has {', '.join(path.name for path in found)}" if found else "has no data.yaml"
    raise UserError(
        f"--data.root {root}: {there}; name the file with --data.train_annotations and "
        f"--data.val_annotations, or write the classes into {voc.CLASS_FILE}, one per line"
    )


def _names(content: dict[Any, Any], file: Path, root: Path) -> tuple[str, ...]:
    """Names of the classes 0, 1, ..., which are a list, or a mapping from their numbers."""
    names = content.get("names")
    if names is None and file.name == voc.CLASS_FILE:
        names = list(voc.own_classes(root) or ())
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise UserError(
                f"{file}: its names are numbered {list(names)[:8]}; it takes 0, 1, 2, ..."
            )
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list) or not names:
        raise UserError(f"{file}: has no names, a list of the classes")
    count = content.get("nc", len(names))
    if count != len(names):
        raise UserError(f"{file}: says nc: {count} and names {len(names)} classes")
    found = tuple(str(name).strip() for name in names)
    if len(set(found)) < len(found) or "" in found:
        raise UserError(f"{file}: two classes have one name, or one has none")
    return found


def _joints(content: dict[Any, Any], file: Path, mirrored: Sequence[int]) -> tuple[int, int]:
    """How many joints a line has, and how many numbers each."""
    shape = content.get("kpt_shape")
    if shape is None and not mirrored:
        return 0, 0
    whole = isinstance(shape, list) and [type(one) for one in shape] == [int, int]
    count, numbers = shape if isinstance(shape, list) and whole else (0, 0)
    if count < 1 or numbers not in (2, 3):
        raise UserError(
            f"{file}: has the kpt_shape {shape}; it takes joints and the numbers of each, such as "
            f"[{len(mirrored) or 17}, 3]"
        )
    if mirrored and count != len(mirrored):
        raise UserError(f"{file}: has {count} joints (kpt_shape), needed are {len(mirrored)}")
    order = content.get("flip_idx")
    if mirrored and order is not None and order != list(mirrored):
        raise UserError(
            f"{file}: has the flip_idx {order}, so its joints are in another order; needed are "
            f"those of {list(mirrored)}"
        )
    return count, numbers


def _sources(content: dict[Any, Any], file: Path, root: Path, split: str) -> list[Path]:
    """Folders or lists of a split, relative to `path`, which is relative to the file."""
    if file.name == voc.CLASS_FILE:
        folders = [root / "images" / split, root / split / "images", root / split]
        found = next((folder for folder in folders if folder.is_dir()), None)
        if found is None:
            raise UserError(f"--data.root {root}: has no folder images/{split} or {split}/images")
        return [found]
    given = content.get(split)
    if not given:
        splits = ", ".join(key for key in ("train", "val", "test") if content.get(key)) or "none"
        raise UserError(
            f"{file}: has no {split}, its splits are {splits}: say --data.train_split and "
            "--data.val_split"
        )
    listed = given if isinstance(given, list) else [given]
    return [_source(str(one), str(content.get("path") or ""), file, root) for one in listed]


def _source(given: str, base: str, file: Path, root: Path) -> Path:
    """An entry of a split; circulated files count from folders that only their authors have."""
    given = given.replace("\\", "/")
    below = given
    while below.startswith(("../", "./")):
        below = below.partition("/")[2]
    places = [file.parent / base / given, file.parent / given, root / given, root / below]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise UserError(
            f"{file}: names {given}, which is neither at {places[0]} nor under {root}; correct it, "
            "or give the folder with --data.train_pictures and --data.val_pictures"
        )
    return found


def pictures_of(source: Path, root: Path) -> list[Path]:
    """Pictures in and below a folder, or those of a list."""
    if source.is_dir():
        return image.pictures_below(source)
    lines = [line.strip() for line in read_text(source, "list of pictures").splitlines()]
    found = []
    for line in filter(None, lines):
        name = line.replace("\\", "/").removeprefix("./")
        places = [source.parent / name, root / name]
        found.append(next((place for place in places if place.is_file()), places[0]))
    return found
