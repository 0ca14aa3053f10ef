"""The predictor of a run: many at once, in two halves, and what predict writes of it."""

import json
import sys

import numpy as np
import pytest

from tasks import open_run
from tasks.pose import predict
from tasks.pose.boxes import Box
from tasks.pose.inference import Predictor
from tests.tasks.pose import small
from tests.tasks.pose.oracle import write_run

BOXES = [Box((10.0, 10.0, 60.0, 80.0), 0.9), Box((90.0, 20.0, 50.0, 90.0), 0.7)]
PICTURES = [np.asarray(small.picture(seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(run):
    found = open_run(run, device="cpu", flags=("--engine.batch_size", "2"))
    assert isinstance(found, Predictor)
    return found


def test_many_pictures_are_as_one_by_one(predictor):
    boxes = [BOXES, [], None]
    together = predictor.many(PICTURES, boxes)
    for picture, chosen, found in zip(PICTURES, boxes, together, strict=True):
        one = predictor(picture, chosen)
        assert one.boxes == found.boxes
        np.testing.assert_allclose(one.joints, found.joints, atol=1e-3)
        np.testing.assert_allclose(one.scores, found.scores, atol=1e-5)
    assert [len(found.boxes) for found in predictor.many(PICTURES)] == [1, 1, 1]
    assert predictor.many([]) == []


@pytest.mark.parametrize("nms", ["hard", "soft", "none"])
def test_a_picture_without_boxes_has_no_people(run, nms):
    predictor = Predictor.open(run, device="cpu", flags=("--test.nms", nms))
    found = predictor(PICTURES[0], [])
    assert found.joints.shape == (0, 17, 3)
    assert predictor.describe(found) == []
    assert np.array_equal(predictor.draw(PICTURES[0], found), PICTURES[0])


@pytest.mark.parametrize("flip", ["true", "false"])
def test_two_halves_are_the_whole(run, flip):
    flags = ("--engine.batch_size", "2", "--test.flip", flip, "--test.nms", "none")
    predictor = Predictor.open(run, device="cpu", flags=flags)
    for boxes in (None, [], [*BOXES, BOXES[0]]):
        halves = predictor.answer(predictor.features(PICTURES[1], boxes))
        whole = predictor(PICTURES[1], boxes)
        assert np.array_equal(halves.joints, whole.joints)
        assert np.array_equal(halves.scores, whole.scores)
        assert halves.boxes == whole.boxes


def test_a_description_is_what_predict_writes(run, predictor, tmp_path, monkeypatch):
    small.picture(4).save(tmp_path / "a.png")
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [list(box.xywh) for box in BOXES]}))
    words = [tmp_path / "a.png", "--run", run, "--boxes", boxes, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--engine.device", "cpu"])
    predict.main()
    written = json.loads((tmp_path / "out" / "keypoints.json").read_text())["people"]
    found = predictor(tmp_path / "a.png", [box.xywh for box in BOXES])
    named = {"file_name": "a.png", "drawn": "a.jpg"}
    assert written == [{**named, **person} for person in predictor.describe(found)]


def test_what_a_trunk_is_given(run, predictor):
    given = predictor.trunk_input
    assert given == Predictor.open(run, device="cpu").trunk_input
    for flags in (("--data.padding", "1.3"), ("--test.flip", "false"), ("--data.colour", "BGR")):
        assert given != Predictor.open(run, device="cpu", flags=flags).trunk_input
