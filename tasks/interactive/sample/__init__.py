"""Writes the generated data set in VOC's layout: scenes of things, with maps of their objects."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.reading.image import write as write_picture
from common.sample import cached
from common.sample.scenery import gather
from common.sample.scenes import Laid, scene
from tasks.interactive.clicks import described
from tasks.interactive.masks import IGNORED, numbers
from tasks.interactive.simulation import first

Map = NDArray[np.uint8]

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 500, 50

_BANDED = 3
"""One in so many pictures has a band of ignored pixels around each object."""
_BAND = 1
"""Pixels of it on either side."""
_PICTURES, _MAPS, _LISTS = "JPEGImages", "SegmentationObject", "ImageSets/Segmentation"


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures of things in front of photographs, in VOC's layout.

    Heaps of small things are ignored. The same seed gives the same bytes, and a split's first
    pictures do not depend on its length.
    """
    for name in (_PICTURES, _MAPS, _LISTS):
        (folder / name).mkdir(parents=True)
    for split, count, start in (("train", train, 1), ("val", val, 500_001)):
        scenery, names = gather(held_out=split == "val"), []
        for number in range(start, start + count):
            picture, things = scene(scenery, np.random.default_rng([seed, number]))
            name = f"{number:06d}"
            names.append(f"{name}\n")
            write_picture(folder / _PICTURES / f"{name}.jpg", picture)
            labels = drawn(picture.shape[:2], things, banded=number % _BANDED == 0)
            _write_map(folder / _MAPS / f"{name}.png", labels)
        (folder / _LISTS / f"{split}.txt").write_text("".join(names))


def drawn(size: tuple[int, ...], things: list[Laid], banded: bool) -> Map:
    """The map (H, W) of a scene: things count from 1, heaps and bands are ignored."""
    labels = np.zeros(size, np.uint8)
    for number, thing in enumerate(things, start=1):
        labels[thing.mask] = IGNORED if thing.crowd else number
    return _with_band(labels) if banded else labels


def _with_band(labels: Map) -> Map:
    """The map with pixels ignored that are not farther than the band from another number."""
    padded = np.pad(labels, _BAND, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _BAND + 1, 2 * _BAND + 1))
    differs = (windows != labels[..., None, None]).any(axis=(2, 3))
    return np.where(differs, np.uint8(IGNORED), labels)


def _write_map(path: Path, labels: Map) -> None:
    """Write a palette PNG, as VOC's are."""
    picture = Image.fromarray(labels)
    colours = np.random.default_rng(0).integers(40, 256, (256, 3), dtype=np.uint8)
    colours[0], colours[IGNORED] = 0, (224, 224, 192)
    picture.putpalette(colours.tobytes())
    picture.save(path)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("interactive", VERSION, write)


def click_files(folder: Path) -> list[Path]:
    """The pictures of a set, beside each of which a file with a click on its largest object."""
    found = []
    for path in sorted((folder / _PICTURES).glob("*.jpg")):
        labels = numbers(folder / _MAPS / f"{path.stem}.png", None)
        areas = np.bincount(labels[labels < IGNORED].ravel())[1:]
        inside = labels == areas.argmax() + 1 if areas.size else labels == 0
        content = {"clicks": described([first(inside)])}
        path.with_suffix(".json").write_text(json.dumps(content) + "\n")
        found.append(path)
    return found
