"""What predict writes: ids, names and COCO's form; and the predictor behind it."""

import json

import numpy as np
import pytest
from PIL import Image

from tasks import open_run
from tasks.panoptic import predict
from tasks.panoptic.draw import draw_segments
from tasks.panoptic.maps import read_ids
from tests.tasks import commands
from tests.tasks.panoptic import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    small.write_run(folder, sure=True)
    return folder


def found_in(run, folder, *names):
    """The content of panoptic.json for pictures of these names."""
    (folder / "in").mkdir()
    for seed, name in enumerate(names):
        Image.fromarray(small.picture(seed)).save(folder / "in" / name)
    flags = ("--out", folder / "out", "--test.thing_score", "0.05", "--loader.workers", "0")
    commands.call(predict.main, folder / "in", "--run", run, *flags)
    return json.loads((folder / "out" / "panoptic.json").read_text())


def test_the_map_holds_the_segments_that_are_listed(run, tmp_path):
    found = found_in(run, tmp_path, "a.png", "b.png")
    assert [one["id"] for one in found["images"]] == [1, 2]
    assert [one["name"] for one in found["categories"]] == ["kite", "cat", "grass", "sky"]
    for image, one in zip(found["images"], found["annotations"], strict=True):
        ids = read_ids(tmp_path / "out" / one["file_name"])
        assert ids.shape == (image["height"], image["width"]) == (small.HEIGHT, small.WIDTH)
        numbers, pixels = np.unique(ids[ids > 0], return_counts=True)
        assert [part["id"] for part in one["segments_info"]] == numbers.tolist()
        assert [part["area"] for part in one["segments_info"]] == pixels.tolist()
        assert {part["category_id"] for part in one["segments_info"]} <= {3, 7, 92, 200}
        assert one["segments_info"][0]["class"] in (*small.THINGS, *small.STUFF)
        assert (tmp_path / "out" / one["file_name"]).with_suffix(".jpg").is_file()


def test_pictures_that_are_called_by_numbers_keep_them(run, tmp_path):
    found = found_in(run, tmp_path, "000000000139.png", "000000000285.png")
    assert [one["id"] for one in found["images"]] == [139, 285]
    assert [one["image_id"] for one in found["annotations"]] == [139, 285]


def test_many_pictures_are_found_as_each_alone(run):
    predictor = open_run(run, device="cpu", flags=("--test.thing_score", "0.05"))
    pictures = [small.picture(1), small.picture(2, 48, 64), small.picture(3)]
    for together, alone in zip(predictor.many(pictures), map(predictor, pictures), strict=True):
        assert np.mean(together.ids == alone.ids) > 0.99
        assert together.ids.shape == alone.ids.shape
    found = predictor(pictures[0])
    again = predictor.answer(predictor.features(pictures[0]))
    assert np.array_equal(found.ids, again.ids) and found.segments == again.segments
    assert predictor.draw(pictures[0], found).shape == pictures[0].shape


def test_a_drawing_colours_segments_and_leaves_the_rest():
    picture = np.full((60, 80, 3), 100, np.uint8)
    places = np.zeros((60, 80), np.int32)
    places[:30], places[40:, 40:] = 1, 2
    drawn = draw_segments(picture, places, {1: 3, 2: 3}, {1: "", 2: ""})
    assert (drawn[50, 5] == 100).all() and (picture == 100).all()
    assert (drawn[5, 5] != 100).any()
    assert (drawn[5, 5] != drawn[55, 75]).any(), "two things of a class are told apart"
    named = draw_segments(picture, places, {1: 3, 2: 3}, {1: "kite", 2: "a name that is too long"})
    assert (named[:30] != drawn[:30]).any() and named.shape == drawn.shape
