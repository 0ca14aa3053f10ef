"""Writes the generated segmentation data set in VOC's layout: things in front of photographs."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.command import run
from common.config import parse
from common.image import write as write_picture
from common.sample import backgrounds, cached, new_folder
from common.voc import CLASS_FILE
from tasks.segmentation.labels import IGNORED
from tasks.segmentation.palette import voc_colours, write_labels
from tasks.segmentation.things import SCRAP, SUPERSAMPLING, THINGS, Painted, Thing, paint

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 600, 80
CLASSES = ("background", *THINGS)

_SMALLEST, _LARGEST = 68, 120
"""Side of an object's canvas in pixels."""


@dataclass(frozen=True)
class Scenery:
    """What pictures are composed of."""

    photographs: tuple[Picture, ...]
    textures: tuple[NDArray[np.float32], ...]
    """Brightness around 1, (H, W)."""


def gather(held_out: bool) -> Scenery:
    """Scenery of a split: the held-out pictures show other photographs and other textures."""
    found = backgrounds()
    coffee, cat, rocket, brick, grass, gravel = (
        found[name] for name in ("coffee", "cat", "rocket", "brick", "grass", "gravel")
    )
    textures = (grass, np.rot90(brick)) if held_out else (gravel, brick)
    return Scenery(
        photographs=(rocket, grass) if held_out else (coffee, cat, gravel, brick),
        textures=tuple(_brightness(texture) for texture in textures),
    )


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
    picture = _backdrop(scenery, width, height, generator)
    labels = np.zeros((height, width), dtype=np.uint8)
    for place in _places(int(generator.integers(2, 5)), generator):
        # Scraps of cloth belong to the background: that something was laid on it says nothing.
        label = int(generator.integers(1, len(CLASSES))) if generator.random() < 0.85 else 0
        thing = _thing(THINGS[CLASSES[label]] if label else SCRAP, scenery, generator)
        _lay(picture, labels, label, thing, place)
    return _photograph(picture, generator), _with_void(labels)


def _thing(thing: Thing, scenery: Scenery, generator: np.random.Generator) -> Painted:
    texture = scenery.textures[generator.integers(len(scenery.textures))]
    reach = texture.shape[0] - SUPERSAMPLING * _LARGEST
    down, right = generator.integers(0, reach, 2)
    size = int(generator.integers(_SMALLEST, _LARGEST + 1))
    return paint(thing, size, texture[down:, right:], generator)


def _places(things: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Relative positions (things, 2), x and y, of at most six: some overlap, none coincide."""
    cells = generator.permutation(6)[:things]
    corners = np.column_stack([cells % 3, cells // 3])
    return (corners + generator.uniform(0.25, 0.75, (things, 2))) / (3, 2)


def _lay(
    picture: Picture, labels: Labels, label: int, thing: Painted, place: NDArray[np.float64]
) -> None:
    """Lay a thing over the picture, around a relative place, cut off at its borders."""
    side = len(thing.coverage)
    left, top = np.round(place * labels.shape[::-1]).astype(int) - side // 2
    here = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
    part = picture[here]
    there = np.s_[max(-top, 0) :, max(-left, 0) :]
    coverage = thing.coverage[there][: part.shape[0], : part.shape[1]]
    colour = thing.colour[there][: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - coverage[..., None]) + colour
    labels[here][coverage > 0.5] = label


def _with_void(labels: Labels) -> Labels:
    """The labels with void where the eight neighbours of a pixel differ."""
    square = np.ones((3, 3), dtype=np.uint8)
    edge = cv2.dilate(labels, square) != cv2.erode(labels, square)
    return np.asarray(np.where(edge, IGNORED, labels), np.uint8)


def _backdrop(scenery: Scenery, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A random part of a photograph, mirrored or not, in other colours and under coloured clouds.

    A handful of photographs would otherwise be learnt by heart.
    """
    photograph = scenery.photographs[generator.integers(len(scenery.photographs))]
    rows = min(photograph.shape[0], photograph.shape[1] * height / width)
    rows *= generator.uniform(0.4, 0.95)
    columns = rows * width / height
    top = int(generator.uniform(0, photograph.shape[0] - rows))
    left = int(generator.uniform(0, photograph.shape[1] - columns))
    part = photograph[top : top + int(rows), left : left + int(columns), generator.permutation(3)]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    seen = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
    coarse = generator.integers(30, 226, (*generator.integers(2, 9, 2), 3), dtype=np.uint8)
    clouds = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    share = generator.uniform(0.0, 0.5)
    mixed = cv2.addWeighted(seen, 1 - share, clouds, share, 0)
    # Out of focus, as what lies behind things often is.
    return np.asarray(cv2.GaussianBlur(mixed, (0, 0), generator.uniform(0.8, 2.0)), np.uint8)


def _photograph(picture: Picture, generator: np.random.Generator) -> Picture:
    """The scene as a camera sees it: exposure, a soft lens, noise."""
    soft = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.8)).astype(np.float32)
    noise = generator.normal(0, generator.uniform(1, 5), picture.shape[:2]).astype(np.float32)
    lit = soft * np.float32(generator.uniform(0.8, 1.1)) + noise[..., None]
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _brightness(texture: Picture) -> NDArray[np.float32]:
    grey = texture[..., 0].astype(np.float32)
    return np.asarray(np.clip(1 + 0.12 * (grey - grey.mean()) / grey.std(), 0.7, 1.25), np.float32)


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Write the generated segmentation data set: python -m tasks.segmentation.sample OUT."""

    out: tuple[Path, ...]
    """New folder."""
    seed: int = 0
    """Another seed gives other things and pictures."""
    train: int = TRAIN_PICTURES
    """Training pictures."""
    val: int = VAL_PICTURES
    """Held-out pictures."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.segmentation.sample")
    write(folder, config.seed, config.train, config.val)
    print(f"{folder}: {config.train} training and {config.val} held-out pictures in VOC's layout")


if __name__ == "__main__":
    run(main)
