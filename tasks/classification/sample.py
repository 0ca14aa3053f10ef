"""Writes the generated classification data set as an ImageFolder tree."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.command import run
from common.config import parse
from common.errors import UserError
from common.image import Picture
from common.image import write as write_picture
from common.sample import SampleFlags, backgrounds, cached, new_folder
from tasks.classification.painting import CLASSES, paint

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


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated classification data set: python -m tasks.classification.sample OUT."""

    train: int = TRAIN_PICTURES
    """Training pictures of all ten classes together."""
    val: int = VAL_PICTURES
    """Held-out pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag, count in (("train", self.train), ("val", self.val)):
            if count < len(CLASSES):
                raise UserError(
                    f"--{flag} {count}: must be at least {len(CLASSES)}, one picture a class"
                )


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.classification.sample")
    write(folder, config.seed, config.train, config.val)
    print(
        f"{folder}: {config.train} training and {config.val} held-out pictures of "
        f"{len(CLASSES)} classes in a folder each"
    )


if __name__ == "__main__":
    run(main)
