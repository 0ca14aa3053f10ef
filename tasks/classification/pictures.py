"""Labelled pictures of one split, wherever their bytes lie."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.commands import classes
from common.reading import image
from common.training.distributed import note
from tasks.classification.labels import Classes


class Store(Protocol):
    """Pictures by number, as the bytes of their files."""

    def read(self, index: int) -> NDArray[np.uint8]:
        """Bytes (N,) of a picture; raises DamagedFile when they cannot be had."""
        ...

    def name(self, index: int) -> str:
        """What a message calls the picture."""
        ...

    def key(self, index: int) -> str:
        """What a result file calls the picture: the same wherever the data set lies."""
        ...

    def files(self) -> list[str]:
        """Paths of the pictures; none where they lie in archives."""
        ...


class Files:
    """One file a picture.

    The names are one array of bytes and no list of strings: a million Python objects would be
    copied into the memory of every loader's worker, page by page, as their reference counts change.

    Args:
        root: where all the files lie.
        names: paths that count from it.
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        self.root = root
        self.names = np.array([os.fsencode(name) for name in names], dtype=np.bytes_)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a file."""
        return image.content(self.name(index))

    def name(self, index: int) -> str:
        """Path of the file."""
        return os.path.join(self.root, self.key(index))

    def key(self, index: int) -> str:
        """Path of the file as counted from the root."""
        return os.fsdecode(self.names[index])

    def files(self) -> list[str]:
        """Paths of all files."""
        return [self.name(index) for index in range(len(self.names))]


@dataclass(frozen=True)
class Pictures:
    """Pictures and their classes."""

    split: str
    classes: Classes
    labels: NDArray[np.int64]
    """(N,) numbers of classes."""
    store: Store

    def __len__(self) -> int:
        """Number of pictures N."""
        return len(self.labels)

    def counts(self) -> NDArray[np.int64]:
        """(K,) pictures of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def absent(self) -> list[str]:
        """Classes without a picture."""
        return classes.absent(self.counts().tolist(), self.classes.names)

    def tell_absent(self) -> None:
        """Say in a line which classes have no picture."""
        if names := self.absent():
            note(f"note: {self.split}: {classes.without(names, 'picture')} of {len(self):,}")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all names and classes."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels.tolist()):
            line = f"{self.store.key(index)}\t{self.classes.names[label]}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    @property
    def files(self) -> list[str]:
        """The pictures; none of shards."""
        return self.store.files()

    def summary(self) -> str:
        """One line: what was read."""
        return f"{self.split}: {len(self):,} pictures of {len(self.classes):,} classes"


def renumbered(pictures: Pictures, classes: Classes) -> Pictures:
    """The pictures under the numbers of another list, which has all of their classes by name."""
    numbers: Mapping[str, int] = {name: number for number, name in enumerate(classes.names)}
    translation = np.array([numbers[name] for name in pictures.classes.names])
    return replace(pictures, classes=classes, labels=translation[pictures.labels])


class Chosen:
    """Some pictures of another store, in an order of their own."""

    def __init__(self, store: Store, indices: NDArray[np.int64]) -> None:
        self.store = store
        self.indices = indices

    def read(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a picture."""
        return self.store.read(int(self.indices[index]))

    def name(self, index: int) -> str:
        """What a message calls it."""
        return self.store.name(int(self.indices[index]))

    def key(self, index: int) -> str:
        """What a result file calls it."""
        return self.store.key(int(self.indices[index]))

    def files(self) -> list[str]:
        """Paths of the chosen ones."""
        paths = self.store.files()
        return [paths[index] for index in self.indices.tolist()] if paths else []


def spread(pictures: Pictures, count: int) -> Pictures:
    """So many pictures, spread evenly over the split; all of them for 0 or if there are no more."""
    if not 0 < count < len(pictures):
        return pictures
    indices = np.arange(count) * len(pictures) // count
    labels = pictures.labels[indices]
    return replace(pictures, labels=labels, store=Chosen(pictures.store, indices))
