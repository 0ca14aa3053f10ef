"""Data sets of pictures with objects: a random crop for training, the whole for evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading import image as images
from common.reading.image import Picture, planes
from common.reading.left_out import LeftOut
from common.reading.orientation import other_way
from common.reading.pairs import fingerprint, naming
from tasks.interactive import objects, sample, simulation
from tasks.interactive.clicks import distance, nearest
from tasks.interactive.config import Config, DataConfig
from tasks.interactive.masks import Truth
from tasks.interactive.objects import Item
from tasks.interactive.transforms import Sample, augment, labelled


class Whole(NamedTuple):
    """A picture with an object."""

    image: Picture
    """(H, W, 3), RGB."""
    truth: Truth
    """Masks (H, W)."""


@dataclass(frozen=True)
class Split:
    """The objects of a split."""

    name: str
    items: list[Item]
    config: DataConfig
    without: int = 0
    """Objects that are too small to be trained on."""

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.items)

    @property
    def files(self) -> list[Path]:
        """The pictures, each once."""
        return objects.pictures(self.items)

    def read(self, index: int) -> Whole:
        """A picture with one of its objects.

        Raises:
            DamagedFile: one of them cannot be read, the mask is empty, or they differ in size.
        """
        item = self.items[index]
        picture = images.read(item.image, orientation=self.config.orientation)
        truth = objects.read(item, self.config)
        if picture.shape[:2] != truth.mask.shape:
            height, width = truth.mask.shape
            sideways = picture.shape[:2] == (width, height)
            turned = other_way(item.pair, self.config.orientation) if sideways else ""
            raise DamagedFile(
                f"{item.label}: has {width}x{height} pixels, its picture {item.image} has "
                f"{picture.shape[1]}x{picture.shape[0]}{turned or '; one of them was scaled'}"
            )
        return Whole(picture, truth)

    def summary(self) -> str:
        """One line: what was read."""
        small = f"; {self.without:,} smaller ones are left out" if self.without else ""
        named = naming([item.pair for item in self.items if not item.number])
        return f"{self.name}: {len(self):,} objects in {len(self.files):,} pictures{small}{named}"

    def fingerprint(self) -> str:
        """sha256 over the names of the pictures and the bytes of what says their objects."""
        outlined = self.items[0].outlined is not None  # then one file says all
        return fingerprint(dict.fromkeys(one.pair for one in self.items[: 1 if outlined else None]))


def read(config: Config, split: str) -> Split:
    """A split of the data set; its first object is read, as a check of the settings.

    Raises:
        UserError: files are missing, or there is no object.
        DamagedFile: the first object cannot be used.
    """
    data = config.data
    root, format = data.root or sample.sample_set(), data.format
    if split == data.val_split:
        root, format = data.val_root or root, data.scored_format
    items = objects.find(root, format, split, data)
    kept = items
    if split == data.train_split:
        kept = [item for item in items if not 0 < item.area < data.least_area]
    if not kept:
        raise UserError(f"--data.least_area {data.least_area}: no object of {split} is as large")
    found = Split(split, kept, data, len(items) - len(kept))
    if data.on_error == "stop":
        found.read(0)
    return found


class TrainSet:
    """Objects of a split as training samples; common.training.sampling draws from it."""

    def __init__(self, split: Split, config: Config) -> None:
        self.split, self.config = split, config

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.split)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """A crop with simulated clicks, as `batch` names its parts.

        Image (3, h, w) bytes; label (h, w) bytes, 0, 1 or 255; nearest (2, h, w), the distances
        from the clicks; first (h, w), that from the first one; previous (h, w), the mask to begin
        with; corrections, how many clicks the network's mistakes bring; seed, for these; index.

        Raises:
            DamagedFile: the picture or its mask cannot be read.
        """
        whole, config = self.split.read(index), self.config
        varied = augment(Sample(whole.image, labelled(whole.truth)), config.data, generator)
        mask, size = varied.label == 1, varied.label.shape
        given = simulation.clicks(mask, config.simulation, generator)
        previous = np.zeros(size, np.float32)
        boxed = generator.random() < config.simulation.box_probability
        if boxed and config.model.network == "late":
            left, top, right, bottom = simulation.box(mask, generator)
            previous[top : bottom + 1, left : right + 1] = 1
            given = given if generator.random() < 0.5 else []
        follows = generator.random(config.simulation.corrections)
        wanted = follows < config.simulation.correction_probability
        return {
            "image": planes(varied.image),
            "label": np.ascontiguousarray(varied.label),
            "nearest": nearest(given, *size),
            "first": distance(given[0] if given else simulation.first(mask), *size),
            "previous": previous,
            "corrections": int(np.cumprod(wanted).sum()),
            "seed": int(generator.integers(2**31)),
            "index": index,
        }


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole pictures and their objects, for evaluation.

    A sample that cannot be read is None when on_error is "skip", and reported on stderr.
    """

    def __init__(self, split: Split, data: DataConfig) -> None:
        self.split, self.data = split, data

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (H, W, 3) bytes, label (H, W) bytes, 0, 1 or 255, and index."""
        with LeftOut(self.data.on_error):
            whole = self.split.read(index)
            return {"image": whole.image, "label": labelled(whole.truth), "index": index}
        return None
