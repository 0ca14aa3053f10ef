"""Writes the generated classification data set as an ImageFolder tree."""

from pathlib import Path

import numpy as np

from common.reading.image import Picture
from common.reading.image import write as write_picture
from common.sample import backgrounds, cached
from tasks.classification.sample.painting import CLASSES, paint

VERSION = 4
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 2400, 500

_FIRST_VAL = 1_000_000


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures, as many of each class as of the others.

    The same seed gives the same bytes, and a split's first pictures do not depend on its length.
    The two splits have other photographs behind their figures.
    """
    for split, pictures, first in (("train", train, 0), ("val", val, _FIRST_VAL)):
        photographs = _photographs(held_out=split == "val")
        for number in range(pictures):
            name = CLASSES[number % len(CLASSES)]
            generator = np.random.default_rng([seed, first + number])
            side = int(generator.integers(64, 97))
            target = folder / split / name / f"{name}_{number:05d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(target, paint(name, photographs, side, generator))


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("classification", VERSION, write)


def _photographs(held_out: bool) -> tuple[Picture, ...]:
    found = backgrounds()
    names = ("rocket", "gravel") if held_out else ("coffee", "cat", "brick", "grass")
    return tuple(found[name] for name in names)
