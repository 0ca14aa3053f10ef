"""The predictor: one picture and many, its two halves, distances, and what predict writes."""

import sys

import numpy as np
import pytest
from PIL import Image

from common.reading import image
from tasks import open_run
from tasks.reid import draw, predict
from tasks.reid.inference import Predictor
from tests.tasks.reid import small

FLIP = ("--test.flip", "true")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    # Smaller ones would reach a bfloat16 convolution of oneDNN that is wrong on CPUs with AMX:
    # 3 x 3, of stride 2, from a width of 2 to one of 1.
    small.write_run(folder, input_size=(64, 32))
    return folder


@pytest.fixture(scope="module")
def pictures():
    sizes = [(24, 48), (40, 70), (24, 48), (16, 32), (31, 50)]
    return [np.array(small.picture(seed, size)) for seed, size in enumerate(sizes)]


def test_many_pictures_are_each_as_if_alone(run, pictures):
    predictor = Predictor.open(run, device="cpu", flags=("--engine.batch_size", "2", *FLIP))
    alone = np.stack([predictor(picture).feature for picture in pictures])
    together = np.stack([one.feature for one in predictor.many(pictures)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    assert np.array_equal(predictor.embed(pictures), together)
    assert (alone.dtype, alone.shape) == (np.float32, (5, 1024))
    assert predictor.many([]) == []
    assert predictor.embed([]).shape == (0, 1024)


@pytest.mark.parametrize("flags", [(), FLIP, (*FLIP, "--test.normalize", "false")])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_halves_are_the_whole_bit_for_bit(run, pictures, flags, precision):
    predictor = Predictor.open(run, device="cpu", precision=precision, flags=flags)
    found = predictor.answer(predictor.features(pictures[1]))
    assert np.array_equal(found.feature, predictor(pictures[1]).feature)


def test_low_precision_gives_nearly_the_same(run, pictures):
    exact, low = (
        Predictor.open(run, device="cpu", precision=precision).embed(pictures)
        for precision in ("fp32", "bf16")
    )
    assert not np.array_equal(exact, low)
    assert (exact * low).sum(axis=1).min() > 0.999


def test_distances_of_pictures_and_of_features(run, pictures):
    predictor = Predictor.open(run, device="cpu")
    features = predictor.embed(pictures)
    found = predictor.compare(features[:2], features)
    assert found.shape == (2, 5)
    expected = np.square(features[:2, None] - features[None]).sum(axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.array_equal(predictor.compare(predictor.many(pictures)[:2], features), found)
    np.testing.assert_allclose(predictor.compare(pictures[:2], pictures), found, atol=1e-5)
    assert predictor.compare([], pictures).shape == (0, 5)


def test_a_trunk_is_given_the_same_only_under_the_same_settings(run):
    one, same, mirrored = (
        Predictor.open(run, device="cpu", flags=flags).trunk_input for flags in ((), (), FLIP)
    )
    assert one == same != mirrored


def test_the_door_gives_what_predict_writes(run, tmp_path, monkeypatch):
    market = small.write_market(tmp_path / "market")
    query, gallery = sorted((market / "query").iterdir())[0], market / "bounding_box_test"
    words = ["predict", str(query), "--run", str(run), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    predict.main()
    predictor = open_run(run, device="cpu")
    assert isinstance(predictor, Predictor)
    with np.load(tmp_path / "out" / "features.npz") as content:
        assert predictor.describe(predictor(query)) == {"feature": content["features"][0].tolist()}
    monkeypatch.setattr(sys, "argv", [*words, "--gallery", str(gallery), "--top", "3"])
    predict.main()
    among = sorted(gallery.iterdir())
    nearest = [among[place] for place in predictor.compare([query], among)[0].argsort()[:3]]
    drawn = predictor.draw(str(query), nearest)
    image.write(tmp_path / "sheet.jpg", drawn)
    sheet = tmp_path / "out" / f"{query.stem}_ranked.jpg"
    assert (tmp_path / "sheet.jpg").read_bytes() == sheet.read_bytes()


def test_pictures_without_names_are_drawn_in_grey(run):
    white = np.full((48, 24, 3), 255, dtype=np.uint8)
    drawn = Predictor.open(run, device="cpu").draw(white, [white, white])
    assert drawn.shape[1] > 3 * draw.CELL[1]
    frames = (draw.UNKNOWN, draw.HIT, draw.MISS)
    assert [(drawn == colour).all(axis=2).any() for colour in frames] == [True, False, False]


def test_files_are_taken_upright(run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture = small.picture(5)
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    predictor = Predictor.open(run, device="cpu")
    found = predictor.embed([tmp_path / "a.png", str(tmp_path / "a.png"), np.array(picture)])
    np.testing.assert_allclose(found[:2], found[[2, 2]], rtol=1e-5, atol=1e-6)
