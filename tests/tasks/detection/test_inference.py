"""The predictor: one by one, several at once, in halves, as predict writes, in lower precision."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.commands.opened import Opened
from common.commands.trained import Trained
from tasks import open_run
from tasks.detection import predict
from tasks.detection.anchors import Anchors
from tasks.detection.config import ScoredConfig, ScoringConfig
from tasks.detection.inference import Predictor
from tests.tasks.detection import runs, small
from tests.tasks.detection.test_export import detector
from tests.tasks.detection.test_model import tiny

CPU = torch.device("cpu")
SIZES = ((160, 120), (120, 160), (160, 120), (80, 60), (150, 120))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    runs.write_run(folder, sure=True)
    return folder


def pictures():
    return [np.asarray(small.picture(seed, size=size)) for seed, size in enumerate(SIZES)]


def predictor(name="mask_rcnn", conventions="torchvision", **data):
    """Of an untrained network whose scores are far apart."""
    test = ScoringConfig(score_threshold=0.0, detections=10)
    model = detector(name, test, conventions)
    settings = runs.tiny_config(data=data, test=test, model=tiny(name, conventions))
    config = ScoredConfig(**vars(settings))
    return Predictor(Opened(model, model, Trained(Path("x.pt"), {}, 1), CPU, "fp32"), config)


@pytest.mark.parametrize(
    ("name", "conventions"),
    [
        ("mask_rcnn", "torchvision"),
        ("cascade_rcnn", "torchvision"),
        ("fcos", "torchvision"),
        ("htc", "mmdetection"),
    ],
)
def test_many_are_what_each_is(name, conventions):
    one_by_one = predictor(name, conventions)
    for picture, found in zip(pictures(), one_by_one.many(pictures()), strict=True):
        alone = one_by_one(picture)
        assert len(alone.labels) == 10
        assert found.labels.tolist() == alone.labels.tolist()
        np.testing.assert_allclose(found.scores, alone.scores, rtol=1e-4)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-2)


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_mask_rcnn", "htc", "retinanet"])
def test_the_halves_make_the_whole_bit_for_bit(name):
    whole = predictor(name, colour="BGR")
    for picture in pictures()[:2]:
        found, again = whole(picture), whole.answer(whole.features(picture))
        for one, other in zip(found[:3], again[:3], strict=True):
            assert np.array_equal(one, other)
        assert found.masks == again.masks
    assert whole.trunk_input.colour == "BGR"
    assert whole.trunk_input == predictor(name, colour="BGR").trunk_input


def test_the_conventions_decide_where_masks_lie_and_how_pictures_shrink():
    """The same network: only how it is told to draw and to read changes."""
    own, other = predictor(), predictor()
    model = replace(other.config.model, conventions="mmdetection")
    other.config = replace(other.config, model=model)
    picture = pictures()[0]
    found, drawn = own(picture), other(picture)
    assert np.array_equal(found.boxes, drawn.boxes)
    assert found.masks != drawn.masks
    assert own.trunk_input == other.trunk_input
    linear = predictor(resize="linear")
    assert linear.trunk_input != own.trunk_input
    assert "OpenCV's bilinear" in linear.trunk_input.resize
    large = np.asarray(small.picture(0, size=(640, 480)))
    assert not np.array_equal(linear(large).scores, own(large).scores)


def test_a_run_opens_as_what_predict_asks(run, tmp_path, monkeypatch):
    Image.fromarray(pictures()[0]).save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--run", str(run), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*words, "--engine.device", "cpu"])
    predict.main()
    opened = open_run(run, device="cpu", flags=("--test.score_threshold", "0.5"))
    assert isinstance(opened, Predictor)
    described = opened.describe(opened(tmp_path / "a.png"))
    assert described
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert written == [{"file_name": "a.png", **one} for one in described]


@pytest.mark.parametrize("deploy", ["true", "false"])
def test_low_precision_finds_nearly_the_same(run, deploy):
    flags = ("--test.score_threshold", "0.5", "--deploy", deploy)
    high, low = (
        open_run(run, device="cpu", precision=precision, flags=flags)
        for precision in ("fp32", "bf16")
    )
    for picture in pictures()[:2]:
        one, other = high(picture), low(picture)
        assert other.boxes.dtype == other.scores.dtype == np.float32
        assert abs(len(one.scores) - len(other.scores)) <= 1 + 0.1 * len(one.scores)
        assert other.scores.max() == pytest.approx(one.scores.max(), abs=0.02)


def test_anchors_do_not_take_the_precision_of_the_features():
    anchors = Anchors(((32,),), ((0.5, 1.0, 2.0),))
    anchors.set_cell_anchors(torch.bfloat16, CPU)
    (found,) = anchors.grid_anchors([(1, 336)], [(4, 4)])
    assert found.dtype == torch.float32
    assert found[-2].tolist() == [1324, -16, 1356, 16]
