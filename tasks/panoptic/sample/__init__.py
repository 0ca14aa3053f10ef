"""Writes the generated panoptic data set in COCO's layout: things over sky, ground, water, wall."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from common.reading.image import write as write_picture
from common.sample import cached
from common.sample.scenery import Scenery, gather, photograph
from common.sample.scenes import THINGS, Laid, strewn
from tasks.detection.draw import colour_of
from tasks.detection.sample import annotate
from tasks.panoptic.maps import write_ids
from tasks.panoptic.sample.ground import KINDS, landscape

Picture = NDArray[np.uint8]

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 500, 80

STUFF = dict(zip(KINDS, (187, 193, 178, 199), strict=True))
"""The classes of stuff with their ids, which have gaps and no order."""

_LEAST_STUFF = 300
"""Pixels; of what is smaller nobody says what it is."""


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures with a JSON file of segments and a PNG of ids each.

    The things are also in `instances_*.json`, with outlines. The same seed gives the same bytes,
    and a split's first pictures do not depend on its length.
    """
    for split, pictures, first in (("train2017", train, 1), ("val2017", val, 500_001)):
        (folder / split).mkdir(parents=True)
        (folder / "annotations" / f"panoptic_{split}").mkdir(parents=True)
        scenery = gather(held_out=split == "val2017")
        images: list[dict[str, Any]] = []
        maps: list[dict[str, Any]] = []
        outlines: list[dict[str, Any]] = []
        for number in range(first, first + pictures):
            generator = np.random.default_rng([seed, number])
            picture, kinds, things = scene(scenery, generator)
            name = f"{number:012d}"
            write_picture(folder / split / f"{name}.jpg", picture)
            ids, segments = segmented(kinds, things, generator)
            write_ids(folder / "annotations" / f"panoptic_{split}" / f"{name}.png", ids)
            height, width = kinds.shape
            images.append(
                {"id": number, "file_name": f"{name}.jpg", "height": height, "width": width}
            )
            maps.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
            outlines += [
                {"id": 10 * number + place, "image_id": number, **annotate(thing, generator)}
                for place, thing in enumerate(things)
            ]
        _write_json(folder, f"panoptic_{split}", images, maps, _categories())
        countable = [{"id": number, "name": name} for name, (number, _) in THINGS.items()]
        _write_json(folder, f"instances_{split}", images, outlines, countable)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("panoptic", VERSION, write)


def scene(
    scenery: Scenery, generator: np.random.Generator
) -> tuple[Picture, NDArray[np.uint8], list[Laid]]:
    """A picture (H, W, 3), three in ten upright, its kinds of stuff (H, W), and the things in it.

    Kinds count from 1 on in the order of KINDS; 0 is what nobody labelled.
    """
    long, short = int(generator.integers(150, 181)), int(generator.integers(120, 141))
    width, height = (short, long) if generator.random() < 0.3 else (long, short)
    picture, kinds = landscape(scenery, width, height, generator)
    picture, things = strewn(picture, scenery, generator)
    return photograph(picture, generator), kinds, things


def segmented(
    kinds: NDArray[np.uint8], things: list[Laid], generator: np.random.Generator
) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """The ids (H, W) of a scene's segments, and the segments in COCO's form."""
    parts = [(kinds == kind, name, False) for kind, name in enumerate(KINDS, start=1)]
    for thing in things:
        parts = [(mask & ~thing.mask, name, crowd) for mask, name, crowd in parts]
        parts.append((thing.mask, thing.name, thing.crowd))
    ids = np.zeros(kinds.shape, np.int32)
    segments: list[dict[str, Any]] = []
    for mask, name, crowd in parts:
        if np.count_nonzero(mask) < (_LEAST_STUFF if name in STUFF else 1):
            continue
        category = STUFF[name] if name in STUFF else THINGS[name][0]
        number = _id(category, {one["id"] for one in segments}, generator)
        ids[mask] = number
        runs = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
        segments.append(
            {
                "id": number,
                "category_id": category,
                "area": int(rle.area(runs)),
                "bbox": [int(side) for side in rle.toBbox(runs)],
                "iscrowd": int(crowd),
            }
        )
    return ids, segments


def _id(category: int, taken: set[int], generator: np.random.Generator) -> int:
    """An id whose colour is about that of its class, so that a PNG can be looked at."""
    while True:
        near = np.array(colour_of(category)) + generator.integers(-25, 26, 3)
        red, green, blue = np.clip(near, 1, 255).tolist()
        number = int(red + 256 * green + 65536 * blue)
        if number not in taken:
            return number


def _categories() -> list[dict[str, Any]]:
    things = [(number, name, 1) for name, (number, _) in THINGS.items()]
    stuff = [(number, name, 0) for name, number in STUFF.items()]
    return [
        {"id": number, "name": name, "isthing": thing, "color": list(colour_of(number))}
        for number, name, thing in (*things, *stuff)
    ]


def _write_json(folder: Path, name: str, images: Any, annotations: Any, categories: Any) -> None:
    content = {"images": images, "annotations": annotations, "categories": categories}
    text = json.dumps({"info": {"description": "generated"}, **content})
    (folder / "annotations" / f"{name}.json").write_text(text)
