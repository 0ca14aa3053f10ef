"""Data sets of pictures with label maps: a random crop for training, the whole for evaluation."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading import image as pictures
from common.reading import voc
from common.reading.image import planes
from common.reading.left_out import LeftOut, OnError
from common.reading.orientation import Orientation, of_file, other_way, turned
from common.reading.pairs import (
    Pair,
    base_of,
    fingerprint,
    from_folders,
    from_list,
    listed_names,
    naming,
)
from common.reading.voc_maps import read_voc
from tasks.segmentation import sample
from tasks.segmentation.config import Config, DataConfig
from tasks.segmentation.labels import LabelReader, Labels
from tasks.segmentation.palette import VOC_CLASSES
from tasks.segmentation.transforms import Sample, blur, flip, random_crop, random_scale

AnyConfig = TypeVar("AnyConfig", bound=Config)


@dataclass(frozen=True)
class Split:
    """The pictures of a split, and how their label maps are read."""

    name: str
    pairs: list[Pair]
    classes: tuple[str, ...]
    reader: LabelReader
    orientation: Orientation | None = None

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pairs)

    @property
    def files(self) -> list[Path]:
        """The pictures."""
        return [pair.image for pair in self.pairs]

    def read(self, index: int) -> Sample:
        """A picture with its labels.

        Raises:
            DamagedFile: one of them cannot be read, or they differ in size.
            UserError: the labels are of other classes.
        """
        pair = self.pairs[index]
        image = pictures.read(pair.image, orientation=self.orientation)
        label = self.reader.read(pair.label)
        if self.orientation == "upright":
            label = turned(label, of_file(pair.label))
        if image.shape[:2] != label.shape:
            raise DamagedFile(
                f"{pair.label}: has {label.shape[1]}x{label.shape[0]} pixels, its picture "
                f"{pair.image} has {image.shape[1]}x{image.shape[0]}"
                + (self._turned(pair, image, label) or "; one of them was scaled or turned")
            )
        return Sample(image, label)

    def _turned(self, pair: Pair, image: pictures.Picture, label: Labels) -> str:
        sideways = image.shape[:2] == label.shape[::-1]
        return other_way(pair, self.orientation) if sideways else ""

    def summary(self) -> str:
        """One line: what was read."""
        named = naming(self.pairs)
        return f"{self.name}: {len(self):,} pictures, {len(self.classes)} classes{named}"

    def fingerprint(self) -> str:
        """sha256 over the names of the pictures and the bytes of their label maps."""
        return fingerprint(self.pairs)


def with_classes(config: AnyConfig) -> AnyConfig:
    """The config with the names of its classes spelt out: a run says what its labels mean.

    Raises:
        UserError: nothing says which classes there are.
    """
    if config.data.classes:
        return config
    root = root_of(config)
    names = config.data.named_classes or voc.own_classes(root)
    if names is None and config.data.format == "voc":
        names = VOC_CLASSES
    if names is None and not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    if names is None:
        raise UserError(
            "--data.classes is missing: name the classes in the order of their labels, such as "
            f"'[road, car, person]', or write them into {root / voc.CLASS_FILE}, one per line"
        )
    return replace(config, data=replace(config.data, classes=names))


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def read(config: Config, split: str) -> Split:
    """A split of the data set, whose classes the config names.

    Its first label map is read, as a check of the classes.

    Raises:
        UserError: files are missing, the data set has other classes, or in another order, or they
            do not explain the labels.
    """
    root, data = root_of(config), config.data
    own = voc.own_classes(root)
    if own is not None and own != data.classes and sorted(own) == sorted(data.classes):
        raise UserError(
            f"--data.root {root}: its {voc.CLASS_FILE} has the classes in another order "
            f"({', '.join(own)}) than the config ({', '.join(data.classes)}); bring the labels and "
            "the file into this order"
        )
    found = Split(
        split, _pairs(root, split, data), data.classes, label_reader(data), data.orientation
    )
    if data.on_error == "stop":
        found.read(0)
    return found


def _pairs(root: Path, split: str, data: DataConfig) -> list[Pair]:
    """Pictures and label maps of a split, in the layout that the config names."""
    if data.format == "voc":
        return read_voc(root, split, data.sbd)
    if data.format == "list":
        return _listed(root / f"{split}.txt", root, split, data)
    images = root / data.image_folder.replace("{split}", split)
    labels = root / data.label_folder.replace("{split}", split)
    for flag, folder in (("image_folder", images), ("label_folder", labels)):
        if not folder.is_dir():
            there = sorted(path.name for path in root.glob("*/")) if root.is_dir() else []
            raise UserError(
                f"--data.{flag} {getattr(data, flag)}: {folder}: no such folder; {root} has "
                f"{', '.join(there[:8]) or 'none'}"
            )
    return from_folders(images, labels)


def _listed(file: Path, root: Path, split: str, data: DataConfig) -> list[Pair]:
    """Pairs of a list: of two files per line, or of names in the folders of the layout folders."""
    images = _folder(root, data.image_folder, split)
    names = listed_names(file, images) if images.is_dir() else None
    if names is not None:
        return from_folders(images, _folder(root, data.label_folder, split), names)
    return from_list(file, base_of(file, (root, root.parent)))


def _folder(root: Path, name: str, split: str) -> Path:
    """A folder of a split, or the one of all splits where that is there instead.

    For lists only: they say which pictures are the split's.
    """
    found, of_all = root / name.replace("{split}", split), root / name.removesuffix("/{split}")
    return of_all if of_all.is_dir() and not found.is_dir() else found


def label_reader(data: DataConfig) -> LabelReader:
    """What reads the label maps of a data set."""
    return LabelReader(
        len(data.classes), data.ignore_index, data.label_values, data.label_colours, data.unknown
    )


class TrainSet:
    """Pictures of a split as training samples; common.training.sampling draws from it."""

    def __init__(self, split: Split, config: DataConfig) -> None:
        self.split = split
        self.config = config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, h, w) bytes, label (h, w) bytes, index; h and w are those of the crop.

        Raises DamagedFile when the picture or its label map cannot be read.
        """
        config = self.config
        sample = self.split.read(index)
        if generator.random() < config.flip_probability:
            sample = flip(sample)
        sample = random_scale(sample, config.short_side, config.scales, generator)
        sample = random_crop(sample, *config.crop_size, generator)
        if generator.random() < config.blur_probability:
            sample = blur(sample, generator.random())
        return {
            "image": planes(sample.image),
            "label": np.ascontiguousarray(sample.label),
            "index": index,
        }


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole pictures and their original label maps, for evaluation.

    A sample that cannot be read is None when on_error is "skip", and reported on stderr.
    """

    def __init__(self, split: Split, on_error: OnError) -> None:
        self.split = split
        self.on_error = on_error

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, H, W) and label (H, W), bytes, and index."""
        with LeftOut(self.on_error):
            sample = self.split.read(index)
            return {"image": planes(sample.image), "label": sample.label, "index": index}
        return None
