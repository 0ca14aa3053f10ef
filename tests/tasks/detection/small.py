"""Small detection data sets, written by hand for the tests."""

import json
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from tasks.detection.config import Config, DataConfig, ModelConfig
from tasks.detection.data import read

WIDTH, HEIGHT = 160, 120
PLAIN = DataConfig(
    short_sides=(HEIGHT,), test_short_side=HEIGHT, flip_probability=0, group_by_aspect=False
)
"""Pictures as they are."""

CATEGORIES = [{"id": 44, "name": "kite"}, {"id": 1, "name": "person"}, {"id": 17, "name": "cat"}]
"""Ids with gaps, not in their order: person is label 1, cat 2, kite 3."""

TRIANGLE = [20.0, 30.0, 80.0, 30.0, 50.0, 90.0]


def read_split(root, split, data):
    """Annotations of a split of the data set under a root."""
    model = ModelConfig(detector="mask_rcnn" if data.masks else "faster_rcnn")
    return read(Config(data=replace(data, root=root), model=model), split)


def square(left=100, top=40, side=30):
    """Bitmap of a square."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[top : top + side, left : left + side] = 1
    return mask


def runs(mask):
    """Compressed run lengths as they stand in a JSON file."""
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def plain_runs(mask):
    """Run lengths as a list of numbers."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def triangle(number, image_id, **changes):
    """A person with a polygon."""
    entry = {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [20.0, 30.0, 60.0, 60.0],
        "area": 1800.5,
        "iscrowd": 0,
        "segmentation": [TRIANGLE],
    }
    return {**entry, **changes}


def content():
    """Picture 7: a triangle, a square in run lengths, a crowd; 8: a kite; 9: nothing."""
    box = [100.0, 40.0, 30.0, 30.0]
    crowd = square(0, 80, 40)
    return {
        "images": [
            {"id": number, "file_name": f"{number:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for number in (7, 8, 9)
        ],
        "annotations": [
            triangle(501, 8, category_id=44),
            triangle(101, 7),
            triangle(102, 7, category_id=17, bbox=box, area=900, segmentation=runs(square())),
            triangle(103, 7, bbox=[0, 80, 40, 40], iscrowd=1, segmentation=plain_runs(crowd)),
        ],
        "categories": [*CATEGORIES],
    }


def write(root, coco=None, split="val2017", folder="images/val2017"):
    """Write a data set; every picture that it names is made, with its polygons in white."""
    coco = content() if coco is None else coco
    (root / folder).mkdir(parents=True)
    for entry in coco["images"]:
        polygons = [
            polygon
            for one in coco["annotations"]
            if one["image_id"] == entry["id"] and isinstance(one["segmentation"], list)
            for polygon in one["segmentation"]
        ]
        size = (entry["width"], entry["height"])
        picture(entry["id"], polygons, size).save(root / folder / entry["file_name"], quality=95)
    annotate(root, coco, split)
    return root


def annotate(root, coco, split="val2017"):
    """Write the annotation file only."""
    file = root / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(coco if isinstance(coco, str) else json.dumps(coco))
    return file


def picture(seed, polygons=(), size=(WIDTH, HEIGHT)):
    """A smooth dark picture with white polygons."""
    coarse = np.random.default_rng(seed).integers(0, 90, (6, 8, 3), dtype=np.uint8)
    found = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    for polygon in polygons:
        ImageDraw.Draw(found).polygon(polygon, fill=(255, 255, 255))
    return found


def xml(name, objects, width=WIDTH, height=HEIGHT, suffix=".jpg"):
    """VOC's XML of (class, xmin, ymin, xmax, ymax, difficult) objects."""
    entries = "".join(
        f"<object><name>{kind}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin>"
        f"<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for kind, left, top, right, bottom, difficult in objects
    )
    return (
        f"<annotation><filename>{name}{suffix}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{entries}</annotation>"
    )


VOC_OBJECTS = {
    "2007_000001": [("dog", 1, 1, WIDTH, HEIGHT, 0), ("person", 48, 11, 148, 111, 1)],
    "2007_000002": [("aeroplane", 5, 6, 20.5, 30, 0)],
    "2007_000003": [],
}


def write_voc(root, objects=None, split="trainval"):
    """Write a data set in VOC's layout."""
    objects = VOC_OBJECTS if objects is None else objects
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, found) in enumerate(objects.items()):
        (root / "Annotations" / f"{name}.xml").write_text(xml(name, found))
        picture(seed).save(root / "JPEGImages" / f"{name}.jpg")
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(objects) + "\n")
    return root
