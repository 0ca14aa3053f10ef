"""Data sets for classification: a picture's input for the network, and its class."""

from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from common.commands.classes import differences
from common.commands.trained import Trained
from common.errors import UserError
from common.reading.image import planes
from common.reading.left_out import LeftOut
from tasks.classification import checkpoints, folders, labels, official, sample, shards
from tasks.classification.config import Config, DataConfig, ScoredConfig
from tasks.classification.labels import Classes
from tasks.classification.pictures import Pictures, renumbered
from tasks.classification.transforms import TrainTransform, evaluation_image


def read_splits(config: Config) -> tuple[Pictures, Pictures]:
    """The pictures to train on and those to score.

    Raises:
        UserError: a split cannot be read, the two have other classes or one alone, or a class has
            no picture.
    """
    data = config.data
    training = read(config, data.train_split)
    empty = np.flatnonzero(training.counts() == 0)
    if len(empty):
        raise UserError(
            f"{training.split}: {len(empty)} of its {len(training.classes)} classes have no "
            f"picture, first {training.classes.names[empty[0]]}: they cannot be trained on"
        )
    if len(training.classes) < 2:
        raise UserError(
            f"--data.train_split {training.split}: has the one class {training.classes.names[0]}, "
            "so there is nothing to tell apart; two classes or more are needed"
        )
    validation = read(config, data.val_split, training.classes)
    val, train = f"--data.val_split {data.val_split}", f"--data.train_split {data.train_split}"
    labels.require_same(validation.classes, training.classes, val, train)
    return training, renumbered(validation, training.classes)


def read_scored(config: ScoredConfig, weights: Trained) -> Pictures:
    """The pictures to score, under the numbers that the model has for their classes.

    Raises:
        UserError: they cannot be read, or their classes are not the model's.
    """
    wanted = checkpoints.classes_of(weights, config.data.classes)
    count = checkpoints.class_count(weights)
    found = read(config, config.data.val_split, wanted)
    if wanted is None and len(found.classes) == count:
        return found
    wanted = wanted or labels.numbered(count)
    if set(found.classes.names) <= set(wanted.names):
        if config.test.subset or len(found.classes) == len(wanted):
            return renumbered(found, wanted)
        advice = "--test.subset scores a part of the classes"
    else:
        advice = checkpoints.FRESH_LAYER
    raise UserError(
        f"--data.val_split {found.split}: its classes are not the {count} of {weights.file}: "
        f"{differences(found.classes.names, wanted.names)}; {advice}"
    )


def read(config: Config, split: str, known: Classes | None = None) -> Pictures:
    """Labelled pictures of one split of --data.root, or of the sample set without one.

    Args:
        config: says where and in which format.
        split: name of the split.
        known: the classes, where neither folders nor a list of classes name them.

    Raises:
        UserError: the split or a list of classes cannot be read.
    """
    data = config.data
    root = data.root or sample.sample_set()
    listed = _class_list(root, data)
    if data.val_list is not None and split == data.val_split:
        return official.read(root, split, data.val_list, _numbered(data, listed, known))
    if data.format == "shards":
        return shards.read(root, split, listed or known)
    found = folders.read(root, split, listed)
    if data.classes is not None and listed and not set(found.classes.names) & set(listed.names):
        raise UserError(
            f"--data.classes {data.classes}: has none of the {len(found.classes)} classes in "
            f"{root / split}, such as {found.classes.names[0]}"
        )
    return found


def _numbered(data: DataConfig, listed: Classes | None, known: Classes | None) -> Classes | None:
    """The classes that the numbers of a list of pictures count.

    Of shards a list of classes says the order. Folders are in the order of their names, and a list
    may say what people call more classes than there are.
    """
    if listed is None or data.format == "shards":
        return listed or known
    if known is not None and set(known.names) <= set(listed.names):
        return known
    return listed.by_name()


def _class_list(root: Path, data: DataConfig) -> Classes | None:
    """The list that --data.classes names, or the one in the root."""
    if data.classes is not None:
        return labels.read(data.classes)
    return labels.read(root / labels.FILE) if (root / labels.FILE).is_file() else None


class TrainSet:
    """Pictures as training samples; common.training.sampling draws from it."""

    def __init__(self, pictures: Pictures, config: DataConfig) -> None:
        self.pictures = pictures
        self.transform = TrainTransform(config)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, S, S) bytes in RGB, and label, the number of its class.

        Raises DamagedFile when the picture cannot be read.
        """
        store = self.pictures.store
        image = self.transform(store.read(index), store.name(index), generator)
        return {"image": planes(image), "label": int(self.pictures.labels[index])}


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Centre crops for evaluation.

    A sample that cannot be read is None when --data.on_error is "skip", and reported on stderr.
    """

    def __init__(self, pictures: Pictures, config: Config) -> None:
        self.pictures = pictures
        self.config = config

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, S, S) bytes in RGB, label and index."""
        store = self.pictures.store
        with LeftOut(self.config.data.on_error):
            encoded, name = store.read(index), store.name(index)
            image = evaluation_image(encoded, name, self.config.test, self.config.data.orientation)
            label = int(self.pictures.labels[index])
            return {"image": planes(image), "label": label, "index": index}
        return None
