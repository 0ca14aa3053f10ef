"""Writes the generated pose data set in COCO's layout: dressed figures in front of photographs."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading.image import write as write_picture
from common.sample import cached
from tasks.pose.sample.figure import dress, pose
from tasks.pose.sample.painting import Painting, paint
from tasks.pose.sample.scenery import (
    Picture,
    Scenery,
    backdrop,
    cut,
    gather,
    photograph,
    place_thing,
    shadow,
)
from tasks.pose.skeleton import COCO

VERSION = 8
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 600, 110


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures, one to three persons each, with their annotations.

    The same seed gives the same bytes, and a split's first pictures do not depend on its length.
    """
    for name, pictures, first_id in (("train", train, 1), ("val", val, 500_001)):
        _write_split(folder, f"{name}2017", pictures, first_id, seed)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("pose", VERSION, write)


def _write_split(folder: Path, split: str, pictures: int, first_id: int, seed: int) -> None:
    scenery = gather(held_out=split.startswith("val"))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for image_id in range(first_id, first_id + pictures):
        picture, persons = _scene(scenery, np.random.default_rng([seed, image_id]))
        name = f"{image_id:012d}.jpg"
        write_picture(folder / "images" / split / name, picture)
        height, width = picture.shape[:2]
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for person in persons:
            number = first_id + len(annotations)
            annotations.append({"id": number, "image_id": image_id, **person})
    content = {
        "info": {"description": "Generated figures for trying out and testing, not a benchmark"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(COCO.names),
                "skeleton": [[first + 1, second + 1] for first, second in COCO.limbs],
            }
        ],
    }
    file = folder / "annotations" / f"person_keypoints_{split}.json"
    file.write_text(json.dumps(content))


def _scene(
    scenery: Scenery, generator: np.random.Generator
) -> tuple[Picture, list[dict[str, Any]]]:
    """A picture (H, W, 3) and its persons' annotations, without ids."""
    width, height = int(generator.integers(320, 401)), int(generator.integers(256, 321))
    picture = backdrop(scenery, width, height, generator)
    # Who owns a pixel: 0 the backdrop, k the k-th person, 255 a thing.
    owner = np.zeros((height, width), dtype=np.uint8)
    people: list[Painting] = []
    sizes = np.sort(generator.uniform(0.48, 0.86, generator.choice([1, 2, 3], p=[0.65, 0.3, 0.05])))
    places = _places(len(sizes), generator)
    for size, place in zip(sizes * height, places, strict=True):
        # Whoever is larger stands nearer, so lower in the picture, and comes later.
        feet = height * (0.8 + 0.26 * (size / height - 0.48)) + generator.normal(0, 4)
        body = pose(generator)
        hips = np.array([place * width, feet - body.toes[:, 1].max() * size])
        person = paint(body, dress(generator), hips, size, cut(scenery.fabric, generator))
        shadow(picture, hips[0], feet, size)
        people.append(person)
        _stamp(picture, owner, person, len(people))
    if generator.random() < 0.2:
        place_thing(picture, owner, scenery, generator)
    picture = photograph(picture, scenery.noise, generator)
    annotations = [_annotate(person, owner == k) for k, person in enumerate(people, start=1)]
    return picture, [annotation for annotation in annotations if annotation["num_keypoints"] >= 5]


def _places(people: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Relative positions (people,) across a picture: some people overlap, none coincide."""
    cells = (np.arange(people) + generator.uniform(0.3, 0.7, people)) / people
    return 0.12 + 0.76 * generator.permutation(cells)


def _stamp(picture: Picture, owner: Picture, person: Painting, number: int) -> None:
    """Lay a person over the picture, cut off at its borders."""
    (x, y), (rows, columns) = person.corner, person.coverage.shape
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + columns, picture.shape[1]), min(y + rows, picture.shape[0])
    here = np.s_[top:bottom, left:right]
    there = np.s_[top - y : bottom - y, left - x : right - x]
    keep = cv2.cvtColor(255 - person.coverage[there], cv2.COLOR_GRAY2RGB)
    behind = cv2.multiply(np.ascontiguousarray(picture[here]), keep, scale=1 / 255)
    picture[here] = cv2.add(behind, person.colour[there])
    owner[here][person.coverage[there] > 127] = number


def _annotate(person: Painting, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's fields of a person whose visible pixels are the mask (H, W)."""
    height, width = mask.shape
    joints = np.zeros((COCO.joints, 3))
    for joint, ((x, y), flag) in enumerate(
        zip(person.joints.tolist(), person.visible.tolist(), strict=True)
    ):
        if flag and -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5:
            # An ear's or a hand's edge may round to a pixel beside the person.
            around = mask[max(round(y) - 1, 0) : round(y) + 2, max(round(x) - 1, 0) : round(x) + 2]
            joints[joint] = round(x, 1), round(y, 1), flag if around.any() else 1
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    polygons = [outline.reshape(-1).tolist() for outline in outlines if len(outline) >= 3]
    x, y, across, down = cv2.boundingRect(mask.astype(np.uint8))
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x, y, across, down],
        "area": int(np.count_nonzero(mask)),
        "segmentation": polygons,
        "num_keypoints": int(np.count_nonzero(joints[:, 2])),
        "keypoints": [int(value) if value == int(value) else value for value in joints.ravel()],
    }
