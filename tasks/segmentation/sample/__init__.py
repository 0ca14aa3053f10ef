"""Writes the generated segmentation data set in VOC's layout: things in front of photographs."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.networks.losses import IGNORED
from common.reading.image import write as write_picture
from common.reading.voc import CLASS_FILE
from common.sample import cached
from common.sample.scenery import Scenery, backdrop, gather, lay, photograph, places, thing_of
from tasks.segmentation.palette import voc_colours, write_labels
from tasks.segmentation.sample.things import SCRAP, THINGS

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 600, 80
CLASSES = ("background", *THINGS)

_SMALLEST, _LARGEST = 68, 120
"""Side of an object's canvas in pixels."""


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures of two to four things each, with their label maps.

    The same seed gives the same bytes, and a split's first pictures do not depend on its length.
    """
    lists = folder / "ImageSets" / "Segmentation"
    for place in (lists, folder / "JPEGImages", folder / "SegmentationClass"):
        place.mkdir(parents=True, exist_ok=True)
    (folder / CLASS_FILE).write_text("\n".join(CLASSES) + "\n")
    colours = voc_colours()
    for split, pictures, first in (("train", train, 1), ("val", val, 500_001)):
        scenery = gather(held_out=split == "val")
        names = [f"sample_{number:06d}" for number in range(first, first + pictures)]
        for number, name in enumerate(names, start=first):
            picture, labels = scene(scenery, np.random.default_rng([seed, number]))
            write_picture(folder / "JPEGImages" / f"{name}.jpg", picture)
            write_labels(folder / "SegmentationClass" / f"{name}.png", labels, colours)
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("segmentation", VERSION, write)


def scene(scenery: Scenery, generator: np.random.Generator) -> tuple[Picture, Labels]:
    """A picture (H, W, 3) and its label map (H, W), with a border of void around every thing."""
    width, height = int(generator.integers(180, 221)), int(generator.integers(140, 181))
    picture = backdrop(scenery, width, height, generator)
    labels = np.zeros((height, width), dtype=np.uint8)
    for place in places(int(generator.integers(2, 5)), generator):
        # Scraps of cloth belong to the background: that something was laid on it says nothing.
        label = int(generator.integers(1, len(CLASSES))) if generator.random() < 0.85 else 0
        kind = THINGS[CLASSES[label]] if label else SCRAP
        thing = thing_of(kind, scenery, _SMALLEST, _LARGEST, generator)
        labels[lay(picture, thing, place)] = label
    return photograph(picture, generator), _with_void(labels)


def _with_void(labels: Labels) -> Labels:
    """The labels with void where the eight neighbours of a pixel differ."""
    square = np.ones((3, 3), dtype=np.uint8)
    edge = cv2.dilate(labels, square) != cv2.erode(labels, square)
    return np.asarray(np.where(edge, IGNORED, labels), np.uint8)
