"""The predictor: alone or in batches, whole or in two halves, of any kind of recipe."""

import json
import sys

import numpy as np
import pytest
import torch

from common.commands import config as configuration
from common.commands.predictor import flags_of
from tasks import open_run
from tasks.salient import predict
from tasks.salient.config import Config, ModelConfig, ScoredConfig
from tasks.salient.data import read, read_training
from tasks.salient.inference import Predictor, saliency_maps
from tests.tasks.salient import small

RECIPES = {
    "stretch": {"fit": "stretch"},
    "pad": {"fit": "pad", "input_size": (40, 48)},
    "native": {"fit": "native", "colour": "BGR"},
    "finished": {"fit": "stretch", "resampling": "antialiased"},
}
MODELS = {
    "native": {"normalisation": "caffe", "edge": True},
    "finished": {"network": "sinetv2", "resize_maps": "logits", "stretch_maps": True},
}
"""What else is set."""


@pytest.fixture(scope="module", params=RECIPES)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / request.param
    more = MODELS.get(request.param, {})
    model = small.ModelConfig(head_width=0.02, head_batchnorm=False, **more)
    small.write_run(folder, data=RECIPES[request.param], model=model)
    return folder


@pytest.fixture(scope="module")
def predictor(run):
    found = open_run(run, device="cpu")
    assert isinstance(found, Predictor)
    return found


def pictures():
    sizes = [(60, 44), (44, 60), (60, 44), (130, 120), (60, 44)]
    return [np.asarray(small.picture(seed, size)) for seed, size in enumerate(sizes)]


def test_many_are_as_one_by_one(predictor):
    together = predictor.many(pictures())
    for picture, found in zip(pictures(), together, strict=True):
        alone = predictor(picture)
        assert found.map.shape == picture.shape[:2]
        assert np.ptp(alone.map) > 20, "flat maps would prove nothing"
        assert np.abs(found.map.astype(int) - alone.map).max() <= 1


def test_the_answer_to_the_features_is_the_call(predictor):
    for picture in pictures():
        found = predictor.answer(predictor.features(picture))
        assert np.array_equal(found.map, predictor(picture).map)


def test_what_the_trunk_is_given_tells_recipes_apart(predictor, run):
    given = predictor.trunk_input
    assert given == open_run(run, device="cpu").trunk_input
    assert given.colour == predictor.config.data.colour
    another = {"area": "antialiased", "antialiased": "area"}[predictor.config.data.resampling]
    for flags in (("--data.input_size", "[50, 50]"), ("--data.resampling", another)):
        config = flags_of(ScoredConfig, run, "best", "cpu", "fp32", False, flags)
        other = Predictor(predictor.opened, config).trunk_input
        assert (given == other) == (run.name == "native")


def test_what_is_described_and_drawn_is_what_predict_writes(predictor, run, tmp_path, monkeypatch):
    small.picture(3).save(tmp_path / "p.png")
    words = [tmp_path / "p.png", "--run", run, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--engine.device", "cpu"])
    predict.main()
    (entry,) = json.loads((tmp_path / "out" / "saliency.json").read_text())["files"]
    found = predictor(tmp_path / "p.png")
    assert entry.items() >= predictor.describe(found).items()
    picture = np.asarray(small.picture(3))
    assert predictor.draw(picture, found).shape == picture.shape


def test_low_precision_is_nearly_the_same(predictor, run):
    low = open_run(run, device="cpu", precision="bf16")
    for picture in pictures()[:2]:
        difference = low(picture).map.astype(int) - predictor(picture).map
        assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("what", ["logits", "probabilities", "levels"])
def test_maps_are_finished_in_the_order_that_is_asked_for(what, stretch):
    """Against NumPy, whose interpolation is written here; 12 rows of 16 show the picture."""
    logits = torch.randn(1, 1, 16, 20, generator=torch.Generator().manual_seed(1)) - 2
    how = ModelConfig(resize_maps=what, stretch_maps=stretch)
    (found,) = saliency_maps(logits, [(12, 20)], [(31, 33)], how)
    values = logits[0, 0, :12].double().numpy()
    if what == "logits":
        values = enlarged(values, (31, 33))
    values = 1 / (1 + np.exp(-values))
    if stretch:
        values = (values - values.min()) / (values.max() - values.min())
    if what == "probabilities":
        values = enlarged(values, (31, 33))
    levels = np.round(255 * values)
    if what == "levels":
        levels = enlarged(levels, (31, 33))
    assert found.dtype == np.uint8
    assert np.abs(found - levels).max() <= 1
    if stretch and what == "logits":
        assert (found.min(), found.max()) == (0, 255)


def enlarged(values, size):
    """Bilinear, pixel centres at halves, the border continued."""
    for axis, length in enumerate(size):
        before = values.shape[axis]
        places = np.clip((np.arange(length) + 0.5) * before / length - 0.5, 0, before - 1)
        low = np.minimum(np.floor(places).astype(int), before - 2)
        share = np.expand_dims(places - low, 1 - axis)
        first, second = (np.take(values, low + step, axis) for step in (0, 1))
        values = first * (1 - share) + second * share
    return values


def test_a_flat_map_is_stretched_to_nothing():
    how = ModelConfig(stretch_maps=True)
    (found,) = saliency_maps(torch.full((1, 1, 4, 4), 3.0), [(4, 4)], [(4, 4)], how)
    assert not found.any()


def test_files_and_what_is_no_picture(predictor, tmp_path):
    small.picture(0).save(tmp_path / "p.png")
    whole = np.asarray(small.picture(0))
    assert np.array_equal(predictor(tmp_path / "p.png").map, predictor(whole).map)
    with pytest.raises(ValueError, match="needed: uint8"):
        predictor(whole[..., 0])


def test_the_sets_of_a_config(tmp_path):
    for name in ("DUTS-TR", "ECSSD", "edges"):
        small.write_set(tmp_path, name, folders=("images", "masks"))
    words = ["--data.root", str(tmp_path), "--data.test_sets", "[ECSSD]"]
    config = configuration.parse(Config, words)
    assert [one.summary() for one in read(config)] == ["ECSSD: 3 pictures"]
    training, edges = read_training(config)
    assert (training.name, edges) == ("DUTS-TR", None)
    _, edges = read_training(configuration.parse(Config, [*words, "--model.edge", "true"]))
    assert edges.name == "edges"
