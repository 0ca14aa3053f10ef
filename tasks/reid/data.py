"""The sets that are trained on and scored, checked at the door, and their pictures as samples."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from common.commands.config import choose
from common.errors import UserError
from common.reading import image as pictures
from common.reading.left_out import LeftOut
from tasks.reid import sample
from tasks.reid.config import Config, DataConfig
from tasks.reid.csv_file import read_csv
from tasks.reid.cuhk03 import read_cuhk03
from tasks.reid.listing import Pictures, Split, join, some
from tasks.reid.market import read_market
from tasks.reid.msmt17 import read_msmt17
from tasks.reid.transforms import Augmentation, augment, scale

FORMATS: dict[str, Callable[[Path, Split, DataConfig], Pictures]] = {
    "market": read_market,
    "msmt17": read_msmt17,
    "cuhk03": read_cuhk03,
    "csv": read_csv,
}
"""Readers (root, split, config) by the name of --data.format."""

_NAMED = 10

Reader = Callable[[Path], pictures.Picture]
"""Gives the picture (H, W, 3), RGB, of a file."""


def annotated(config: DataConfig) -> Reader:
    """What reads pictures of a data set: as stored, unless the config says upright."""
    return partial(pictures.read, orientation=config.orientation)


def photographs(config: DataConfig) -> Reader:
    """What reads people's own pictures: upright, unless the config says stored."""
    return partial(pictures.shown, orientation=config.orientation)


@dataclass(frozen=True)
class Training:
    """All pictures that are trained on, with their persons numbered over all sets."""

    pictures: Pictures
    labels: NDArray[np.int64]
    """(N,) 0 .. persons - 1, in the order of the sets and, within one, of the persons' names."""
    persons: int
    parts: dict[tuple[str, Path], Pictures]
    """(format, resolved root) -> the set's own pictures."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return self.pictures.paths

    def summary(self) -> str:
        """What is trained on, in one line."""
        text = "; ".join(part.summary() for part in self.parts.values())
        one = sum(len(_seen_by_one(part)) for part in self.parts.values())
        return text + (f"; {one:,} of the persons are seen by one camera only" if one else "")


@dataclass(frozen=True)
class Test:
    """Who is sought, and where."""

    query: Pictures
    gallery: Pictures

    @property
    def files(self) -> tuple[Path, ...]:
        """Pictures of the queries, then of the gallery."""
        return self.query.paths + self.gallery.paths

    def summary(self) -> str:
        """What is scored, in one line, and how many queries cannot be."""
        text = f"{len(self.query):,} queries{self.query.omitted()} among {self.gallery.summary()}"
        alone = self.query.persons[self.unmatched()]
        if not len(alone):
            return text
        return (
            f"{text}; {len(alone):,} of the queries have no picture of their person by another "
            f"camera and are not scored (persons {some(dict.fromkeys(alone.tolist()))})"
        )

    def unmatched(self) -> NDArray[np.bool_]:
        """(Q,) queries that no gallery picture of another camera matches."""
        cameras: dict[str, set[str]] = {}
        for person, camera in zip(*_columns(self.gallery), strict=True):
            cameras.setdefault(person, set()).add(camera)
        rows = zip(*_columns(self.query), strict=True)
        return np.array([not cameras.get(person, set()) - {camera} for person, camera in rows])


@overload
def read(config: Config, split: Literal["train"]) -> Training: ...
@overload
def read(config: Config, split: Literal["test"]) -> Test: ...
def read(config: Config, split: Literal["train", "test"]) -> Training | Test:
    """The pictures to train on, or who is sought and where.

    Raises:
        UserError: as `read_training` and `read_test` do.
    """
    return read_training(config.data) if split == "train" else read_test(config.data)


def read_training(config: DataConfig) -> Training:
    """The training pictures of --data.train_sets, or else of --data.root or the sample set.

    Raises:
        UserError: a set cannot be read, or is given twice.
    """
    parts: dict[tuple[str, Path], Pictures] = {}
    for kind, root in _train_sets(config):
        key = (kind, root.resolve())
        if key in parts:
            raise UserError(f"--data.train_sets: {kind}:{root} is given twice")
        found = FORMATS[kind](root, "train", config)
        if not len(found):
            raise UserError(f"{found.title}: no training pictures")
        parts[key] = found
    labels: list[NDArray[np.int64]] = []
    persons = 0
    for part in parts.values():
        names, numbers = np.unique(part.persons, return_inverse=True)
        labels.append(numbers.astype(np.int64) + persons)
        persons += len(names)
    whole = join(" and ".join(part.title for part in parts.values()), list(parts.values()))
    return Training(whole, np.concatenate(labels), persons, parts)


def _train_sets(config: DataConfig) -> list[tuple[str, Path]]:
    sets = []
    for text in config.train_sets:
        kind, colon, folder = text.partition(":")
        if not colon or not folder:
            raise UserError(
                f"--data.train_sets {text}: is not FORMAT:FOLDER, such as market:data/market1501"
            )
        choose("--data.train_sets", kind, FORMATS)
        sets.append((kind, Path(folder)))
    return sets or [(config.format, config.root or sample.sample_set())]


def read_test(config: DataConfig) -> Test:
    """Query and gallery of --data.root, or of the generated sample set without one.

    Raises:
        UserError: they cannot be read, one is empty, or no query has a match.
    """
    root = config.root or sample.sample_set()
    query, gallery = (FORMATS[config.format](root, split, config) for split in ("query", "gallery"))
    for found, name in ((query, "query"), (gallery, "gallery")):
        if not len(found):
            raise UserError(f"{found.title}: the {name} is empty; there is nothing to compare")
    test = Test(query, gallery)
    if test.unmatched().all():
        raise UserError(
            f"{query.title}: not one of the {len(query):,} queries has a picture of its person by "
            f"another camera in the gallery (persons {some(dict.fromkeys(query.persons.tolist()))})"
        )
    return test


def warn_of_overlap(training: Training, test: Test, config: DataConfig) -> None:
    """Name on stderr the persons who are both trained on and scored, if there are any."""
    both = overlap(training, test, config)
    if both:
        print(
            f"warning: {len(both):,} persons are both trained on and scored "
            f"({some(both, _NAMED)}); the score is not that of people never seen",
            file=sys.stderr,
            flush=True,
        )


def overlap(training: Training, test: Test, config: DataConfig) -> list[str]:
    """Persons of the test who are also trained on, if the test's set is among those trained on.

    Other sets number their people independently, so equal numbers there say nothing.
    """
    root = config.root or sample.sample_set()
    part = training.parts.get((config.format, root.resolve()))
    if part is None:
        return []
    tested = set(test.query.persons.tolist()) | set(test.gallery.persons.tolist())
    return sorted(tested & set(part.persons.tolist()))


def _columns(found: Pictures) -> tuple[list[str], list[str]]:
    return found.persons.tolist(), found.cameras.tolist()


def _seen_by_one(found: Pictures) -> list[str]:
    """Persons with pictures of a single camera."""
    cameras = Counter(person for person, _ in set(zip(*_columns(found), strict=True)))
    return [person for person, count in cameras.items() if count == 1]


class TrainSet:
    """Training pictures as samples; common.training.sampling draws from it.

    Samples beyond the number of pictures are copies of them, which `PersonBatches` draws for
    persons of few pictures.
    """

    def __init__(self, training: Training, config: DataConfig) -> None:
        self.training = training
        self.config = config
        self.read = annotated(config)
        self.augmentation = Augmentation(
            config.flip_probability, config.padding, config.erase_probability
        )

    def __len__(self) -> int:
        """Number of samples: each picture's copies count."""
        return len(self.training.pictures) * self.config.pictures_per_person

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Image (3, H, W) bytes, erased rectangle (4,), label of the person.

        Raises DamagedFile when the picture cannot be read.
        """
        index %= len(self.training.pictures)
        picture = self.read(self.training.pictures.paths[index])
        image = scale(picture, self.config.input_size)
        image, erased = augment(image, self.augmentation, generator)
        label = int(self.training.labels[index])
        return {"image": image, "erased": np.array(erased), "label": label}


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Pictures, scaled and nothing else; of the data set, unless `read` reads others.

    A sample that cannot be read is None when config.on_error is "skip", and reported on stderr.
    """

    def __init__(
        self, paths: tuple[Path, ...], config: DataConfig, read: Reader | None = None
    ) -> None:
        self.paths = paths
        self.config = config
        self.read = read or annotated(config)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Image (3, H, W) bytes, and its index."""
        with LeftOut(self.config.on_error):
            picture = self.read(self.paths[index])
            return {"image": scale(picture, self.config.input_size), "index": index}
        return None
