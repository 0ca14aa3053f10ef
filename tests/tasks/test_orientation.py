"""A photograph that its camera turned, in every task: as its upright copy, or as it is stored."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import DamagedFile
from common.reading import image
from tasks.classification import data as classification
from tasks.classification.config import Config as ClassificationConfig
from tasks.classification.sample import write as write_classification
from tasks.depth import data as depth
from tasks.depth.config import Config as DepthConfig
from tasks.depth.sample import write as write_depth
from tasks.detection import data as detection
from tasks.detection.config import Config as DetectionConfig
from tasks.detection.sample import write as write_detection
from tasks.interactive import data as interactive
from tasks.interactive.config import Config as InteractiveConfig
from tasks.interactive.sample import write as write_interactive
from tasks.panoptic import data as panoptic
from tasks.panoptic.config import Config as PanopticConfig
from tasks.panoptic.sample import write as write_panoptic
from tasks.pose import data as pose
from tasks.pose.config import Config as PoseConfig
from tasks.pose.sample import write as write_pose
from tasks.reid import data as reid
from tasks.reid.config import Config as ReidConfig
from tasks.salient import data as salient
from tasks.salient.config import Config as SalientConfig
from tasks.salient.sample import write as write_salient
from tasks.segmentation import data as segmentation
from tasks.segmentation.config import Config as SegmentationConfig
from tasks.segmentation.sample import write as write_segmentation
from tests.tasks.reid.small import write_market

BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What makes of an upright picture the one that a camera stores with an orientation."""

Sets = tuple[Any, Any]
"""A training set and a scoring set."""


def of_classification(config: Any) -> Sets:
    train, val = (classification.read(config, split) for split in ("train", "val"))
    return classification.TrainSet(train, config.data), classification.ScoringSet(val, config)


def of_depth(config: Any) -> Sets:
    train, val = (depth.read(config, split) for split in ("train", "val"))
    return depth.TrainSet(train, config.data), depth.ScoringSet(val, config)


def of_detection(config: Any) -> Sets:
    train, val = (detection.read(config, split) for split in ("train2017", "val2017"))
    return detection.TrainSet(train, config.data), detection.ScoringSet(val, config.data)


def of_interactive(config: Any) -> Sets:
    train, val = (interactive.read(config, split) for split in ("train", "val"))
    return interactive.TrainSet(train, config), interactive.ScoringSet(val, config.data)


def of_panoptic(config: Any) -> Sets:
    train, val = (panoptic.read(config, split) for split in ("train2017", "val2017"))
    return panoptic.TrainSet(train, config.data), panoptic.ScoringSet(val, config.data)


def of_pose(config: Any) -> Sets:
    train, val = (pose.read(config, split) for split in ("train2017", "val2017"))
    return pose.TrainSet(train, config.data), pose.ScoringSet(val, config.data)


def of_reid(config: Any) -> Sets:
    train, test = reid.read(config, "train"), reid.read(config, "test")
    return reid.TrainSet(train, config.data), reid.ScoringSet(test.files, config.data)


def of_salient(config: Any) -> Sets:
    train, _ = salient.read_training(config)
    test = salient.read(config)[0]
    return salient.TrainSet(train, config.data), salient.ScoringSet(test, config.data)


def of_segmentation(config: Any) -> Sets:
    config = segmentation.with_classes(config)
    train, val = (segmentation.read(config, split) for split in ("train", "val"))
    return segmentation.TrainSet(train, config.data), segmentation.ScoringSet(val, "stop")


TASKS: dict[str, tuple[Callable[[Path], None], Any, Callable[[Any], Sets]]] = {
    "classification": (
        lambda root: write_classification(root, train=8, val=8), ClassificationConfig(),
        of_classification,
    ),
    "depth": (lambda root: write_depth(root, train=4, val=2), DepthConfig(), of_depth),
    "detection": (
        lambda root: write_detection(root, train=4, val=2), DetectionConfig(), of_detection,
    ),
    "interactive": (
        lambda root: write_interactive(root, train=1, val=1), InteractiveConfig(), of_interactive,
    ),
    "panoptic": (lambda root: write_panoptic(root, train=4, val=2), PanopticConfig(), of_panoptic),
    "pose": (lambda root: write_pose(root, train=4, val=2), PoseConfig(), of_pose),
    "reid": (write_market, ReidConfig(), of_reid),
    "salient": (
        lambda root: write_salient(root, train=4, test=2, edge=1), SalientConfig(), of_salient,
    ),
    "segmentation": (
        lambda root: write_segmentation(root, train=4, val=2), SegmentationConfig(),
        of_segmentation,
    ),
}  # fmt: skip


def rewrite(root: Path, number: int) -> None:
    """Store each photograph as a camera does that is held in one of eight ways, without loss."""
    for path in sorted(root.rglob("*.jpg")):
        upright = Image.fromarray(image.read(path))
        exif = Image.Exif()
        exif[0x0112] = number
        stored = upright.transpose(BACK[number]) if number in BACK else upright
        stored.save(path, "PNG", exif=exif, compress_level=1)


def samples(root: Path, task: str, orientation: str | None) -> list[Any]:
    """A training sample and a scoring sample."""
    _, config, sets = TASKS[task]
    data = replace(config.data, root=root, orientation=orientation)
    train, scoring = sets(replace(config, data=data))
    return [train.sample(0, np.random.default_rng(0)), scoring[0]]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, torch.Tensor | np.ndarray):
        return np.array_equal(np.asarray(left), np.asarray(right))
    return bool(left == right)


@pytest.mark.parametrize("task", TASKS)
def test_upright_is_one_way_and_stored_is_the_other(tmp_path, task):
    write = TASKS[task][0]
    write(tmp_path / "written")

    def taken(number):
        root = shutil.copytree(tmp_path / "written", tmp_path / str(number))
        rewrite(root, number)
        return root

    expected = samples(taken(1), task, None)
    for number in range(2, 9):
        root = taken(number)
        found = samples(root, task, "upright")
        assert all(same(*pair) for pair in zip(found, expected, strict=True)), number
        for orientation in ("stored", None):
            try:
                seen = samples(root, task, orientation)
            except DamagedFile as error:  # annotations lie on their side, where they say so
                assert number >= 5
                assert "--data.orientation upright" in str(error)
            else:
                assert not same(seen[1], expected[1]), number
