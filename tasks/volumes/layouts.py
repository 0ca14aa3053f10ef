"""Where the cases of a data set lie, what their labels mean, and which fold they are of."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from common.reading.folders import inside
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.nifti import SUFFIXES, VOLUMES, stem

BACKGROUND = "background"
LITS = (BACKGROUND, "liver", "tumour")
KITS = (BACKGROUND, "kidney", "tumour", "cyst")
SPLIT_FILES = ("splits_final.json", "splits.json")

_CHANNEL = re.compile(r"^(.*)_(\d{4})$")
_SEED = 12345
"""Of nnU-Net's folds."""
_SHOWN = 3


class Case(NamedTuple):
    """A scan with its labels."""

    name: str
    image: Path
    label: Path


def cases(root: Path, data: DataConfig) -> list[Case]:
    """All labelled cases of a data set, sorted by name.

    Raises:
        UserError: the layout is another one, files are missing, or there is no case.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    find = {"dataset": _dataset, "lits": _lits, "kits": _kits, "folders": _folders}[data.format]
    found = sorted(find(root, data))
    if not found:
        raise UserError(f"--data.root {root}: no case in the layout {data.format}")
    return found


def class_names(root: Path, data: DataConfig) -> tuple[str, ...]:
    """The classes in the order of their labels, as the settings, the set or its layout names them.

    Raises:
        UserError: nothing names them.
    """
    if data.classes:
        return data.classes
    if data.format == "lits":
        return LITS
    if data.format == "kits":
        return KITS
    if data.format == "folders" and not (root / "dataset.json").is_file():
        raise UserError(
            "--data.classes is missing: name the classes in the order of their labels, such as "
            "'[background, liver, tumour]'"
        )
    return _names(root / "dataset.json", _json(root / "dataset.json").get("labels"))


def _names(file: Path, labels: Any) -> tuple[str, ...]:
    """Names by label: MSD writes number -> name, nnU-Net name -> number."""
    entries = labels.items() if isinstance(labels, dict) else ()
    try:
        by_number = {
            int(key): str(value) if str(key).isdecimal() else str(key)
            for key, value in ((k, v) if str(k).isdecimal() else (v, k) for k, v in entries)
        }
    except (TypeError, ValueError):
        raise UserError(
            f"{file}: its labels are regions or no numbers ({labels}); each voxel needs one number"
        ) from None
    if "ignore" in by_number.values():
        raise UserError(
            f"{file}: has a label ignore, of voxels that nobody has labelled; there is no such "
            "label here: give these voxels a class, or leave their cases out"
        )
    if len(by_number) < 2 or sorted(by_number) != list(range(len(by_number))):
        raise UserError(f"{file}: its labels are {sorted(by_number)}; needed: 0, 1, 2 and so on")
    return tuple(by_number[number] for number in sorted(by_number))


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(
            f"{file}: no such file; --data.root is the folder that holds it, or say --data.format"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{file}: is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: is not a dataset.json, but {type(content).__name__}")
    return content


def _dataset(root: Path, data: DataConfig) -> list[Case]:
    """The layouts of the Decathlon and of nnU-Net: names with channel suffixes or without."""
    _json(root / "dataset.json")
    images, labels = (_folder(root, name) for name in ("imagesTr", "labelsTr"))
    by_case: dict[str, dict[int, Path]] = {}
    for whole, path in _by_stem(inside(images, VOLUMES)).items():
        parts = _CHANNEL.match(whole)
        if parts is None or (labels / path.name).exists():
            by_case.setdefault(whole, {})[0] = path
        else:
            by_case.setdefault(parts[1], {})[int(parts[2])] = path
    found = []
    for name, channels in by_case.items():
        if data.channel not in channels:
            there = ", ".join(f"{one:04d}" for one in sorted(channels))
            raise UserError(f"--data.channel {data.channel}: {name} in {images} has {there}")
        found.append(Case(name, channels[data.channel], _beside(labels, name, images)))
    return found


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in root.glob("*/"))[:8]) or "no folder"
        raise UserError(f"{folder}: no such folder; {root} has {there}; see --data.format")
    return folder


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their names without .nii or .nii.gz.

    Raises:
        UserError: two have the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if found.setdefault(stem(path), path) != path:
            raise UserError(f"{path}: {found[stem(path)]} has that name as well; which one counts?")
    return found


def _beside(labels: Path, name: str, images: Path) -> Path:
    """The labels of a case."""
    files = (labels / f"{name}{suffix}" for suffix in SUFFIXES)
    found = _by_stem(file for file in files if file.is_file())
    if not found:
        raise UserError(
            f"{labels}: no labels {name}.nii.gz for the volume of that name in {images}"
        )
    return found[name]


def _lits(root: Path, _: DataConfig) -> list[Case]:
    """volume-N.nii and segmentation-N.nii, in one folder or in those within it."""
    every = _by_stem(
        path
        for kind in ("volume", "segmentation")
        for path in sorted(root.rglob(f"{kind}-*"))
        if VOLUMES.has(path.name)
    )
    found = []
    for name, path in every.items():
        number = name.removeprefix("volume-")
        if number == name or not number.isdecimal():
            continue
        label = every.get(f"segmentation-{number}")
        if label is None:
            raise UserError(
                f"{path}: no segmentation-{number}.nii beside it or elsewhere in {root}"
            )
        found.append(Case(f"{int(number):03d}", path, label))
    return found


def _kits(root: Path, _: DataConfig) -> list[Case]:
    """case_NNNNN/imaging.nii.gz and segmentation.nii.gz; cases of the test set have no labels."""
    found = []
    for folder in sorted(root.glob("case_*")):
        label = folder / "segmentation.nii.gz"
        if label.is_file():
            image = folder / "imaging.nii.gz"
            if not image.is_file():
                raise UserError(f"{image}: no such file; KiTS's scans are fetched by a script")
            found.append(Case(folder.name, image, label))
    return found


def _folders(root: Path, data: DataConfig) -> list[Case]:
    """Volumes and labels of one name in two folders."""
    images, labels = _folder(root, data.image_folder), _folder(root, data.label_folder)
    return [
        Case(name, path, _beside(labels, name, images))
        for name, path in _by_stem(inside(images, VOLUMES)).items()
    ]


def split_of(root: Path, config: Config, split: str, found: Sequence[Case]) -> list[Case]:
    """The cases of a split: train, val or all.

    Raises:
        UserError: --fold is not there, or the split file names other cases.
    """
    if split == "all":
        return list(found)
    by_name = {case.name: case for case in found}
    folds = _folds(root, config.data, list(by_name))
    if config.fold >= len(folds):
        raise UserError(f"--fold {config.fold}: there are {len(folds)}, from 0 on")
    names = folds[config.fold].get(split, [])
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        listed = f"names cases that are not there ({', '.join(map(str, unknown[:_SHOWN]))})"
        raise UserError(
            f"--fold {config.fold}: its split {split} {listed if unknown else 'has no case'}"
        )
    return [by_name[name] for name in names]


def _folds(root: Path, data: DataConfig, names: Sequence[str]) -> list[Mapping[str, list[str]]]:
    """{train, val} of each fold: from a file, or drawn as nnU-Net does."""
    file = data.splits or next(
        (root / name for name in SPLIT_FILES if (root / name).is_file()), None
    )
    if file is None:
        return drawn_folds(names, data.folds)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: is not JSON with the cases of each fold ({error})") from None
    content = [content] if isinstance(content, dict) else content
    sound = isinstance(content, list) and all(
        isinstance(one, dict) and _are_names(one.get("train")) and _are_names(one.get("val"))
        for one in content
    )
    if not sound or not content:
        raise UserError(
            f"{file}: needed: a list with {{train: [...], val: [...]}} of each fold, each case once"
        )
    folds: list[Mapping[str, list[str]]] = content
    for number, fold in enumerate(folds):
        both = sorted(set(fold["train"]) & set(fold["val"]))
        if both:
            raise UserError(f"{file}: fold {number} trains on {both[0]} and scores it as well")
    return folds


def _are_names(value: Any) -> bool:
    """Whether it is a list of words, each of them once."""
    words = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return words and len(set(value)) == len(value)


def drawn_folds(names: Sequence[str], folds: int) -> list[Mapping[str, list[str]]]:
    """Folds of nearly equal size over the sorted names, the same as nnU-Net's of that number.

    Raises:
        UserError: there are fewer cases than folds.
    """
    if len(names) < 2:
        raise UserError(
            "there is 1 case, and none to hold out; say --data.train_split all and "
            "--data.val_split all to score what was learnt by heart"
        )
    if len(names) < folds:
        raise UserError(
            f"--data.folds {folds}: there are {len(names)} cases; say --data.folds {len(names)} "
            "or less, or --data.train_split all"
        )
    order = np.arange(len(names))
    np.random.RandomState(_SEED).shuffle(order)
    ordered = sorted(names)
    held = [sorted(part.tolist()) for part in np.array_split(order, folds)]
    return [
        {
            "train": [name for place, name in enumerate(ordered) if place not in part],
            "val": [ordered[place] for place in part],
        }
        for part in held
    ]
