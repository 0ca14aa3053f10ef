"""The predictor: one by one, many at once, in two halves, and by the door of all tasks."""

import json
import sys

import numpy as np
import pytest
import torch

from common.reading import image
from tasks import open_run
from tasks.classification import predict
from tasks.classification.cam import cam, heat
from tasks.classification.draw import SIDE
from tasks.classification.inference import Predictor
from tests.tasks.classification import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    small.write_run(folder / "run", small.write_tree(folder / "data"))
    return folder / "run"


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.open(run, device="cpu")


@pytest.fixture(scope="module")
def pictures():
    """Five pictures of several sizes; the run's batches have four."""
    return [np.asarray(small.picture(seed, 60 + 7 * seed, 50)) for seed in range(5)]


def test_what_is_found(predictor, pictures):
    found = predictor(pictures[0])
    assert found.probabilities.shape == (3,)
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert found.best.tolist() == np.argsort(-found.probabilities).tolist()
    first = predictor.describe(found)["classes"][0]
    assert first["class"] == small.CLASSES[found.best[0]]
    assert first["probability"] == pytest.approx(found.probabilities.max(), abs=1e-6)


def test_many_give_what_each_gives(predictor, pictures):
    for one, other in zip(predictor.many(pictures), map(predictor, pictures), strict=True):
        assert np.allclose(one.probabilities, other.probabilities, atol=1e-6)
        assert np.array_equal(one.best, other.best)
    assert predictor.many([]) == []


def test_both_halves_give_what_the_call_gives(predictor, pictures):
    halves, whole = predictor.answer(predictor.features(pictures[1])), predictor(pictures[1])
    assert np.array_equal(halves.probabilities, whole.probabilities)


def test_low_precision(run, predictor, pictures):
    low = Predictor.open(run, device="cpu", precision="bf16")
    difference = low(pictures[2]).probabilities - predictor(pictures[2]).probabilities
    assert 0 < np.abs(difference).max() < 0.02


def test_what_decides_the_trunks_features(run, predictor):
    same, other = (Predictor.open(run, device="cpu", flags=flags) for flags in ((), CROP))
    assert predictor.trunk_input == same.trunk_input
    assert "short side 36, bilinear" in other.trunk_input.resize
    assert predictor.trunk_input != other.trunk_input


CROP = ("--test.crop", "0.875")


def test_heat_is_the_trained_models(run, predictor, pictures):
    cut = torch.tensor(predictor.crop(pictures[3])).permute(2, 0, 1)[None]
    expected = heat(cam(predictor.opened.model, cut, torch.tensor([2])), (32, 32), 32)[0]
    assert np.array_equal(predictor.heat(pictures[3], 2), expected)
    with pytest.raises(ValueError, match="cam knows c5 only"):
        predictor.heat(pictures[3], 2, stage="c4")


def test_heat_of_kept_features_is_that_of_the_picture(predictor, pictures):
    features = predictor.features(pictures[3]).c5
    for number in range(len(predictor.classes)):
        kept = predictor.heat_of(features, number)
        assert kept == pytest.approx(predictor.heat(pictures[3], number), abs=1e-3)


def test_the_door_of_all_tasks_gives_what_predict_writes(run, tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    small.picture(7, 90, 70).save(file)
    words = [str(file), "--run", str(run), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["predict", *words, "--engine.device", "cpu"])
    predict.main()
    opened = open_run(run, device="cpu")
    assert isinstance(opened, Predictor)
    found = opened(file)
    (entry,) = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert entry["models"] == [{"model": small.BACKBONE, **opened.describe(found)}]
    drawn = opened.draw(image.read(file), found, "a.png")
    assert drawn.shape[1] == SIDE + 16
    written = image.read(tmp_path / "out" / "a.jpg")
    assert np.abs(written.astype(int) - drawn).mean() < 3
