"""Writes the generated pose data set in COCO's layout: dressed figures in front of photographs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.command import run
from common.config import parse
from common.errors import UserError
from common.image import write as write_picture
from common.sample import backgrounds, cached
from tasks.pose.figure import SHIRTS, dress, pose
from tasks.pose.painting import Painting, paint
from tasks.pose.skeleton import COCO

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 440, 80

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenery:
    """What pictures are composed of."""

    photographs: tuple[Picture, ...]
    walls: tuple[Picture, ...]
    """Grey textures."""
    floors: tuple[Picture, ...]
    """Grey textures."""
    fabric: Picture
    """Grey texture around 128 that people's clothes are multiplied with."""
    wood: Picture
    """What crates are made of."""
    noise: Picture
    """Grey noise around 128 with a deviation of 30."""


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
    scenery = _scenery(held_out=split.startswith("val"))
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


def _scenery(held_out: bool) -> Scenery:
    """Scenery of a split: the held-out pictures show other photographs and parts of them."""
    photographs = backgrounds()
    grass, gravel, brick = (photographs[name][:, :, 0] for name in ("grass", "gravel", "brick"))
    weave = cv2.resize(np.tile(grass, (2, 2)), None, fx=1.2, fy=1.2).astype(np.float32)
    weave = np.clip(128 + 0.12 * (weave - weave.mean()), 0, 255).astype(np.uint8)
    coffee, cat, rocket = (photographs[name] for name in ("coffee", "cat", "rocket"))
    return Scenery(
        photographs=(coffee, rocket) if held_out else (coffee[:, ::-1], cat),
        walls=(np.rot90(brick), gravel),
        floors=(grass, gravel) if held_out else (gravel, grass, brick),
        fabric=weave,
        wood=coffee[:110, :200],
        noise=np.clip(np.random.default_rng(0).normal(128, 30, (512, 512)), 0, 255).astype(
            np.uint8
        ),
    )


def _scene(
    scenery: Scenery, generator: np.random.Generator
) -> tuple[Picture, list[dict[str, Any]]]:
    """A picture (H, W, 3) and its persons' annotations, without ids."""
    width, height = int(generator.integers(320, 401)), int(generator.integers(256, 321))
    picture = _backdrop(scenery, width, height, generator)
    # Who owns a pixel: 0 the backdrop, k the k-th person, 255 a thing.
    owner = np.zeros((height, width), dtype=np.uint8)
    people: list[Painting] = []
    sizes = np.sort(generator.uniform(0.48, 0.86, generator.choice([1, 2, 3], p=[0.4, 0.4, 0.2])))
    places = _places(len(sizes), generator)
    for size, place in zip(sizes * height, places, strict=True):
        # Whoever is larger stands nearer, so lower in the picture, and comes later.
        feet = height * (0.8 + 0.26 * (size / height - 0.48)) + generator.normal(0, 4)
        body = pose(generator)
        hips = np.array([place * width, feet - body.toes[:, 1].max() * size])
        person = paint(body, dress(generator), hips, size, _cut(scenery.fabric, generator))
        _shadow(picture, hips[0], feet, size)
        people.append(person)
        _stamp(picture, owner, person, len(people))
    if generator.random() < 0.25:
        _thing(picture, owner, scenery, generator)
    picture = _photograph(picture, scenery.noise, generator)
    annotations = [_annotate(person, owner == k) for k, person in enumerate(people, start=1)]
    return picture, [annotation for annotation in annotations if annotation["num_keypoints"] >= 5]


def _places(people: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Relative positions (people,) across a picture: some people overlap, none coincide."""
    cells = (np.arange(people) + generator.uniform(0.3, 0.7, people)) / people
    return 0.12 + 0.76 * generator.permutation(cells)


def _cut(texture: Picture, generator: np.random.Generator) -> Picture:
    """A texture from a random place on, so that no two people wear the same piece."""
    down, right = generator.integers(0, 200, 2)
    return np.asarray(texture[down:, right:])


def _tint(grey: Picture, generator: np.random.Generator) -> Picture:
    """A grey texture in a dull colour."""
    colour = generator.uniform(0.65, 1.15) * generator.uniform(0.88, 1.12, 3)
    table = np.clip(np.arange(256)[:, None] * colour, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), table[None]), np.uint8)


def _crop(photograph: Picture, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A random part of a photograph, resized."""
    aspect = width / height
    limit = min(photograph.shape[0], photograph.shape[1] / aspect)
    rows = limit * generator.uniform(0.6, 1.0)
    columns = rows * aspect
    top = int(generator.uniform(0, photograph.shape[0] - rows))
    left = int(generator.uniform(0, photograph.shape[1] - columns))
    part = photograph[top : top + int(rows), left : left + int(columns)]
    resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _backdrop(scenery: Scenery, width: int, height: int, generator: np.random.Generator) -> Picture:
    """A photograph or a wall, mostly with a floor in front."""
    if generator.random() < 0.6:
        choice = scenery.photographs[generator.integers(len(scenery.photographs))]
        picture: Picture = cv2.GaussianBlur(_crop(choice, width, height, generator), (0, 0), 1.2)
    else:
        wall = scenery.walls[generator.integers(len(scenery.walls))]
        picture = _tint(_crop(wall, width, height, generator), generator)
    if generator.random() < 0.75:
        horizon = int(height * generator.uniform(0.58, 0.72))
        floor = scenery.floors[generator.integers(len(scenery.floors))]
        flat = _tint(_crop(floor, 256, 256, generator), generator)
        square = np.array([[0, 0], [256, 0], [256, 256], [0, 256]], dtype=np.float32)
        near = [[width * 1.6, height], [-0.6 * width, height]]
        far = [[-0.05 * width, horizon], [1.05 * width, horizon]]
        corners = np.array([*far, *near], dtype=np.float32)
        matrix = cv2.getPerspectiveTransform(square, corners)
        ground = cv2.warpPerspective(flat, matrix, (width, height), flags=cv2.INTER_AREA)
        picture[horizon:] = ground[horizon:]
    return picture


def _shadow(picture: Picture, x: float, feet: float, size: float) -> None:
    """Darken the ground under a person."""
    top, bottom = round(feet - 0.1 * size), round(feet + 0.1 * size)
    left, right = round(x - 0.3 * size), round(x + 0.3 * size)
    here = picture[max(top, 0) : bottom, max(left, 0) : right]
    light = np.full(here.shape, 255, dtype=np.uint8)
    middle = (round(x) - max(left, 0), round(feet) - max(top, 0))
    axes = (round(0.19 * size), round(0.035 * size))
    cv2.ellipse(light, middle, axes, 0, 0, 360, (135, 135, 135), -1)
    light = cv2.GaussianBlur(light, (0, 0), 0.02 * size)
    here[:] = cv2.multiply(np.ascontiguousarray(here), light, scale=1 / 255)


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


def _thing(
    picture: Picture, owner: Picture, scenery: Scenery, generator: np.random.Generator
) -> None:
    """A crate or a ball that hides part of whoever stands behind it."""
    height, width = picture.shape[:2]
    size = int(height * generator.uniform(0.16, 0.32))
    x = int(generator.uniform(0.15, 0.85) * width)
    bottom = int(height * generator.uniform(0.9, 1.0))
    middle = np.array([x, bottom - size // 2])
    _shadow(picture, x, bottom, 2.2 * size)
    if generator.random() < 0.5:
        colour = np.array(SHIRTS[generator.integers(len(SHIRTS))])
        for share, light in ((1.0, 0.6), (0.9, 0.75), (0.72, 0.9), (0.5, 1.0), (0.2, 1.12)):
            shade = np.clip(colour * light, 0, 255).tolist()
            place = np.round(middle - (1 - share) * 0.2 * size).astype(int).tolist()
            cv2.circle(picture, place, round(share * size / 2), shade, -1, cv2.LINE_AA)
        cv2.circle(owner, middle.tolist(), size // 2, 255, -1)
    else:
        left, right, top = max(x - size // 2, 0), min(x + size // 2, width), bottom - size
        side = _crop(scenery.wood, right - left, size, generator)
        cv2.rectangle(side, (0, 0), (right - left - 1, size - 1), (74, 40, 26), size // 12)
        picture[top:bottom, left:right] = side
        owner[top:bottom, left:right] = 255


def _photograph(picture: Picture, noise: Picture, generator: np.random.Generator) -> Picture:
    """The scene as a camera sees it: exposure, a soft lens, noise."""
    soft = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.35, 0.7))
    height, width = picture.shape[:2]
    down, right = generator.integers(0, 100, 2)
    grain = cv2.cvtColor(noise[down : down + height, right : right + width], cv2.COLOR_GRAY2RGB)
    exposure = generator.uniform(0.85, 1.1)
    return np.asarray(cv2.addWeighted(soft, exposure, grain, 0.07, -9.0), np.uint8)


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


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Write the generated pose data set: python -m tasks.pose.sample OUT."""

    out: tuple[Path, ...]
    """New folder."""
    seed: int = 0
    """Another seed gives other people and pictures."""
    train: int = TRAIN_PICTURES
    """Training pictures, with two persons on average."""
    val: int = VAL_PICTURES
    """Held-out pictures."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    if len(config.out) != 1:
        raise UserError(f"python -m tasks.pose.sample takes one folder, found {len(config.out)}")
    folder = config.out[0]
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; name a new folder")
    write(folder, config.seed, config.train, config.val)
    print(f"{folder}: {config.train} training and {config.val} held-out pictures in COCO's layout")


if __name__ == "__main__":
    run(main)
