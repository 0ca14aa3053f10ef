"""Writes the generated saliency data set in DUTS's layout: textured objects before photographs."""

from functools import cache
from pathlib import Path

import numpy as np

from common.reading.image import write as write_picture
from common.sample import cached
from tasks.salient.sample.painting import Scene, Scenery, edges, gather, paint

VERSION = 3
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, TEST_PICTURES, EDGE_PICTURES = 1400, 100, 120

_TEST_OFFSET, _EDGE_OFFSET = 1_000_000, 2_000_000


def write(
    folder: Path,
    seed: int = 0,
    train: int = TRAIN_PICTURES,
    test: int = TEST_PICTURES,
    edge: int = EDGE_PICTURES,
) -> None:
    """Write DUTS-TR (with its pair list), DUTS-TE, and a set of outlines for the edge branch.

    The same seed gives the same bytes, and a set's first pictures do not depend on its length.
    """
    names = _write_set(folder / "DUTS-TR", "DUTS-TR", train, seed, 0)
    lines = [f"DUTS-TR-Image/{name}.jpg DUTS-TR-Mask/{name}.png\n" for name in names]
    (folder / "DUTS-TR" / "train_pair.lst").write_text("".join(lines))
    _write_set(folder / "DUTS-TE", "DUTS-TE", test, seed, _TEST_OFFSET)
    images, labels = _folders(folder / "edges" / "images", folder / "edges" / "masks")
    for number in range(edge):
        one = scene(_EDGE_OFFSET + number, seed)
        write_picture(images / f"{number + 1:05d}.jpg", one.picture)
        write_picture(labels / f"{number + 1:05d}.png", edges(one.mask))


def scene(number: int, seed: int = 0) -> Scene:
    """Scene of a number; those of the test set begin at 1,000,000 and show other photographs."""
    held_out = _TEST_OFFSET <= number < _EDGE_OFFSET
    return paint(_scenery(held_out), np.random.default_rng([seed, number]))


@cache
def _scenery(held_out: bool) -> Scenery:
    return gather(held_out)


def sample_set() -> Path:
    """Folder of the default sets, generated on first use."""
    return cached("salient", VERSION, write)


def _write_set(folder: Path, name: str, pictures: int, seed: int, offset: int) -> list[str]:
    """Write pictures and masks of one set; returns their names without suffix."""
    images, masks = _folders(folder / f"{name}-Image", folder / f"{name}-Mask")
    names = []
    for number in range(pictures):
        one = scene(offset + number, seed)
        names.append(f"sample_{number + 1:05d}")
        write_picture(images / f"{names[-1]}.jpg", one.picture)
        write_picture(masks / f"{names[-1]}.png", one.mask)
    return names


def _folders(*folders: Path) -> tuple[Path, ...]:
    for folder in folders:
        folder.mkdir(parents=True)
    return folders
