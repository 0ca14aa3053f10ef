"""``python -m tasks.pose.predict --run runs/pose INPUT... --out DIR``: skeletons on one's pictures.

INPUT are pictures or folders of them. Their people are taken from ``--boxes FILE`` (a detector's
result); without it each picture is taken as the crop of one person. Beside the pictures,
`keypoints.json` lists the joints.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from backbone import deploy
from backbone.errors import WeightsError
from common import outputs
from common.commands import command, trained
from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.left_out import LeftOut
from common.training import distributed
from tasks.pose import sample
from tasks.pose.boxes import Box, read_picture_boxes, whole_picture
from tasks.pose.coco import read_coco
from tasks.pose.draw import draw_people
from tasks.pose.inference import (
    SKELETONS,
    ScoredConfig,
    estimate,
    restore,
)
from tasks.pose.metrics import rescore
from tasks.pose.model import from_published
from tasks.pose.suppression import suppress
from tasks.pose.transforms import box_to_crop, crop_matrix, warp

SAMPLE_SEED = 1
"""Another seed than that of the set which is trained and scored."""

Boxes = Mapping[Path, Sequence[Box]]


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Draw skeletons on pictures, and write the joints as JSON."""

    inputs: tuple[Path, ...] = ()
    """Pictures and folders of pictures: the words that belong to no flag."""
    boxes: Path | None = None
    """JSON or CSV file with the boxes of the people; none takes each picture as one person."""
    sample: int = 0
    """Instead of inputs, draw on so many freshly generated pictures, with their boxes."""

    def __post_init__(self) -> None:
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and (self.inputs or self.boxes):
            raise UserError("--sample: brings its own pictures and boxes; leave out the others")


class Found(NamedTuple):
    """The people of one picture, best first."""

    joints: NDArray[np.float64]
    """(N, J, 3) x, y in pixels of the picture as it is shown, and score."""
    scores: NDArray[np.float64]
    """(N,)"""
    boxes: list[Box]


def find_people(
    model: nn.Module, picture: NDArray[np.uint8], boxes: Sequence[Box], config: ScoredConfig
) -> Found:
    """Estimate the people in the boxes of a picture (H, W, 3), RGB, and drop those found twice."""
    data = config.data
    ordered = picture if data.colour == "RGB" else picture[:, :, ::-1].copy()
    crops = [box_to_crop(np.array(box.xywh), data.aspect, data.padding) for box in boxes]
    centers = np.array([center for center, _ in crops])
    extents = np.array([extent for _, extent in crops])
    images = [
        warp(
            ordered,
            crop_matrix(center, extent, 0.0, data.input_wh, data.unbiased),
            data.input_wh,
        )
        for center, extent in crops
    ]
    joints = np.concatenate(
        [
            _estimate_batch(
                model, images[start:stop], centers[start:stop], extents[start:stop], config
            )
            for start, stop in _slices(len(images), config.engine.batch_size)
        ]
    )
    box_scores = np.array([box.score for box in boxes])
    scores = rescore(box_scores, joints[..., 2], config.test.joint_threshold)
    sigmas = np.array(SKELETONS[data.format].sigmas)
    kept, scores = suppress(joints[..., :2], scores, extents.prod(axis=1), sigmas, config.test)
    return Found(joints[kept], scores, [boxes[index] for index in kept])


def _slices(length: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, length)) for start in range(0, length, size))


def _estimate_batch(
    model: nn.Module,
    images: Sequence[NDArray[np.uint8]],
    centers: NDArray[np.float64],
    extents: NDArray[np.float64],
    config: ScoredConfig,
) -> NDArray[np.float64]:
    device = next(model.parameters()).device
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    low = config.precision == "bf16"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
        return estimate(model, batch, centers, extents, config)


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    if config.sample:
        with TemporaryDirectory() as folder:
            pictures, boxes = _sample(Path(folder), config.sample)
            predict(config, pictures, boxes)
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures or folders, such as predict --run runs/pose photos/"
        )
    pictures = image.list_images(config.inputs)
    found = (
        read_picture_boxes(config.boxes, pictures, config.data.box_threshold, config.data.on_error)
        if config.boxes
        else None
    )
    predict(config, pictures, found)


def _sample(folder: Path, count: int) -> tuple[list[Path], Boxes]:
    """Generated pictures that no training has seen, with the boxes of their people."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    annotations = read_coco(folder, "val2017")
    boxes: dict[Path, list[Box]] = {path: [] for path in annotations.images.values()}
    for number, box in zip(annotations.image_ids.tolist(), annotations.boxes.tolist(), strict=True):
        boxes[annotations.images[number]].append(Box(tuple(box), 1.0))
    return list(boxes), boxes


def predict(config: PredictConfig, pictures: Sequence[Path], boxes: Boxes | None) -> None:
    """Draw on every picture into config.out and write keypoints.json there.

    Args:
        config: names model and protocol.
        pictures: the files to draw on.
        boxes: of each picture; None takes a whole picture as one box.
    """
    weights = trained.find(config, from_published)
    targets, names = outputs.targets(pictures, config.out, ".jpg"), outputs.names(pictures)
    world = distributed.start(config.engine.device)
    model = restore(config, weights, world.device)
    if config.deploys:
        model = deploy(model)
    people: list[dict[str, Any]] = []
    without, left_out = 0, LeftOut(config.data.on_error)
    for path in tqdm(pictures, desc="predicting", unit="picture", disable=not sys.stderr.isatty()):
        with left_out:
            # People look at their pictures upright; boxes are of what they see.
            picture = image.read(path, rotate=True)
            chosen = _boxes_of(path, picture, boxes, config.data.on_error)
            without += not chosen
            if chosen:
                found = find_people(model, picture, chosen, config)
                picture = _drawn(picture, found, config)
                people += _entries(names[path], targets[path], found)
            image.write(targets[path], picture)
    _write_json(config, people)
    print(f"{len(people)} people in {left_out.kept} pictures, drawn in {config.out}")
    if without:
        print(f"{without} of the pictures have no box and are shown as they are")
    left_out.report("pictures")


def _boxes_of(
    path: Path, picture: NDArray[np.uint8], boxes: Boxes | None, on_error: str
) -> list[Box]:
    """The picture's boxes, of which none may lie outside."""
    height, width = picture.shape[:2]
    if boxes is None:
        return [whole_picture(height, width)]
    inside = []
    for box in boxes.get(path, ()):
        x, y, box_width, box_height = box.xywh
        if x < width and y < height and x + box_width > 0 and y + box_height > 0:
            inside.append(box)
        elif on_error == "stop":
            raise DamagedFile(
                f"{path}: the box {list(box.xywh)} lies outside its {width}x{height} pixels; "
                "correct it, or say --data.on_error skip"
            )
    return inside


def _drawn(picture: NDArray[np.uint8], found: Found, config: ScoredConfig) -> NDArray[np.uint8]:
    # The best person is drawn last, on top.
    skeleton = SKELETONS[config.data.format]
    return draw_people(picture, found.joints[::-1], skeleton, config.test.joint_threshold)


def _entries(name: str, drawn: Path, found: Found) -> list[dict[str, Any]]:
    return [
        {
            "file_name": name,
            "drawn": drawn.name,
            "box": list(box.xywh),
            "score": float(score),
            "keypoints": np.round(joints, 3).tolist(),
        }
        for joints, score, box in zip(*found, strict=True)
    ]


def _write_json(config: PredictConfig, people: list[dict[str, Any]]) -> None:
    skeleton = SKELETONS[config.data.format]
    content = {"joints": skeleton.names, "limbs": skeleton.limbs, "people": people}
    outputs.write_text(config.out / "keypoints.json", json.dumps(content))


if __name__ == "__main__":
    command.run(main, WeightsError)
