"""The generated rooms: the same bytes, true depth, sizes in metres that pictures show."""

import filecmp

import cv2
import numpy as np
import pytest

from common.training.distributed import World
from tasks.depth import baselines, evaluate, sample
from tasks.depth.config import Config, DataConfig
from tasks.depth.data import read
from tasks.depth.sample.room import CARDS, HEIGHT, WIDTH, Camera, scene
from tests.tasks.depth.oracle import Oracle


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    sample.write(folder, seed=3, train=20, val=4)
    return folder


def test_the_same_seed_gives_the_same_bytes_and_a_longer_split_the_same_beginning(root, tmp_path):
    sample.write(tmp_path, seed=3, train=2, val=1)
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")]
    assert len(names) == 8
    assert filecmp.cmpfiles(root, tmp_path, names, shallow=False)[0] == names
    other = tmp_path / "other"
    sample.write(other, seed=4, train=1, val=0)
    for name in ("train/rgb_000001.jpg", "train/depth_000001.png"):
        assert (other / name).read_bytes() != (root / name).read_bytes()


@pytest.mark.parametrize("split", ["train", "val", "other_camera"])
def test_every_split_is_read(root, split):
    found = read(Config(data=DataConfig(root=root)), split)
    for index in range(min(4, len(found))):
        depth = found.read(index).depth
        assert depth.shape == (HEIGHT, WIDTH)
        assert 0.02 <= (depth == 0).mean() <= 0.11
        assert depth[depth > 0].min() > 0.3 and depth.max() < 9
    camera = sample.OTHER_CAMERA if split == "other_camera" else sample.CAMERA
    assert found.focal(0) == pytest.approx(camera.focal, abs=1e-3)


def test_things_have_their_size_in_metres():
    """A card's pixels, times its depth over the focal length, are its width."""
    camera, seen = Camera(57.0), 0
    for number in range(40):
        room = scene(camera, np.random.default_rng([9, number]))
        hue = cv2.cvtColor(room.picture, cv2.COLOR_RGB2HSV)
        blue = (np.abs(hue[..., 0].astype(int) - 113) < 4) & (hue[..., 1] > 140)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(blue.astype(np.uint8))
        for label in range(1, count):
            left, _, width, height, area = boxes[label]
            depths = room.depth[labels == label]
            depths = depths[depths > 0]
            whole = left > 2 and left + width < WIDTH - 2 and area > 0.93 * width * height
            if whole and area > 250 and height > 2.5 * width and np.ptp(depths) < 0.4:
                metres = width * np.median(depths) / camera.focal
                assert metres == pytest.approx(CARDS[0][0], rel=0.2)
                seen += 1
    assert seen >= 2


def test_another_camera_sees_the_same_metres_nearer(root):
    """What a network of the first camera would say is off by the ratio of the focal lengths."""
    assert sample.CAMERA.focal / sample.OTHER_CAMERA.focal == pytest.approx(1.413, abs=0.01)


def test_neither_guess_reaches_the_goal(root):
    config = Config(data=DataConfig(root=root))
    split = read(config, "val")
    guesses = baselines.learn(read(config, "train"))
    found = evaluate.evaluate(Oracle(split), split, config, World(), guesses)
    assert all(one["AbsRel"] > 0.2 and one["delta1"] < 0.7 for one in found.baselines.values())
    assert found.metrics["AbsRel"] == 0


@pytest.mark.slow
def test_the_default_run_reaches_its_goal(tmp_path):
    import json

    from tasks.depth import train
    from tests.tasks.commands import call

    call(train.main, "--out", tmp_path / "run")
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert found["AbsRel"] <= 0.12
    assert found["delta1"] >= 0.85
