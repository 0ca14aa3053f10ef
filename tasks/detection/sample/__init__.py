"""Writes the generated detection data set in COCO's layout: things that overlap, with outlines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from common.reading.image import write as write_picture
from common.reading.outlines import trace
from common.sample import cached
from common.sample.scenery import gather
from common.sample.scenes import THINGS, Laid, scene

Mask = NDArray[np.bool_]

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 700, 100

_RUN_LENGTHS = 0.2
"""Share of the things whose outline is written as run lengths, as crowds' always are."""


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures of things in front of photographs, in COCO's layout.

    The same seed gives the same bytes, and a split's first pictures do not depend on its length.
    """
    (folder / "annotations").mkdir(parents=True)
    for split, pictures, first in (("train2017", train, 1), ("val2017", val, 500_001)):
        (folder / split).mkdir()
        scenery = gather(held_out=split == "val2017")
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(first, first + pictures):
            generator = np.random.default_rng([seed, number])
            picture, things = scene(scenery, generator)
            name = f"{number:012d}.jpg"
            write_picture(folder / split / name, picture)
            height, width = picture.shape[:2]
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            annotations += [
                {"id": 10 * number + place, "image_id": number, **annotate(thing, generator)}
                for place, thing in enumerate(things)
            ]
        categories = [{"id": number, "name": name} for name, (number, _) in THINGS.items()]
        content = {"images": images, "annotations": annotations, "categories": categories}
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps({"info": {"description": "generated"}, **content}))


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("detection", VERSION, write)


def annotate(thing: Laid, generator: np.random.Generator) -> dict[str, Any]:
    """The thing as an annotation without ids: polygons or run lengths, box, area, category."""
    polygons = [] if thing.crowd or generator.random() < _RUN_LENGTHS else trace(thing.mask)
    height, width = thing.mask.shape
    if polygons:
        runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
        corner, extent = points.min(axis=0), np.ptp(points, axis=0)
        box = [*corner.tolist(), *extent.tolist()]
    else:
        runs = coco_mask.encode(np.asfortranarray(thing.mask, dtype=np.uint8))
        box = coco_mask.toBbox(runs).tolist()
    return {
        "category_id": THINGS[thing.name][0],
        "bbox": box,
        "area": float(coco_mask.area(runs)),
        "iscrowd": int(thing.crowd),
        "segmentation": polygons or _run_lengths(thing, runs),
    }


def _run_lengths(thing: Laid, runs: dict[str, Any]) -> dict[str, Any]:
    """Run lengths as COCO writes them: plain for crowds, compressed elsewhere."""
    if not thing.crowd:
        return {"size": list(thing.mask.shape), "counts": runs["counts"].decode("ascii")}
    columns = thing.mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(columns)) + 1
    lengths = np.diff(np.concatenate([[0], changes, [columns.size]])).tolist()
    return {"size": list(thing.mask.shape), "counts": [0, *lengths] if columns[0] else lengths}
