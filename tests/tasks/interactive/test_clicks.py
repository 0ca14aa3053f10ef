"""Clicks as text and as files, how networks see them, and what is no click."""

import json

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.interactive.clicks import (
    FARTHEST,
    Click,
    Given,
    distance,
    nearest,
    parse,
    read,
    require_box,
    require_possible,
    scaled,
    written,
)

CLICKS = (Click(40, 25), Click(3, 60, False))


def test_texts_and_files(tmp_path):
    assert parse("40,25,+  3,60,-") == CLICKS
    assert parse(written(CLICKS)) == CLICKS
    file = tmp_path / "a.json"
    listed = [{"x": 40, "y": 25}, {"x": 3, "y": 60, "positive": False}]
    file.write_text(json.dumps({"clicks": listed, "box": [1, 2, 30, 40], "mask": "m.png"}))
    assert read(file) == Given(CLICKS, (1, 2, 30, 40), tmp_path / "m.png")


@pytest.mark.parametrize("text", ["", "  ", "4,5", "4,5,*", "a,5,+", "4.5,5,+", "4,5,+,6"])
def test_what_is_no_text_of_clicks(text):
    with pytest.raises(UserError, match="--clicks") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        [], {}, {"click": []}, {"clicks": {}}, {"clicks": [3]}, {"clicks": [{"x": 1}]},
        {"clicks": [{"x": 1.5, "y": 2}]}, {"clicks": [{"x": 1, "y": 2, "positive": 1}]},
        {"clicks": [], "box": [1, 2, 3]}, {"clicks": [], "mask": 3},
        {"clicks": [{"x": True, "y": 2}]},
    ],
)  # fmt: skip
def test_what_is_no_click_file(tmp_path, content):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a\.json: ") as caught:
        read(file)
    assert "\n" not in str(caught.value)


def test_a_damaged_click_file(tmp_path):
    (tmp_path / "a.json").write_text('{"clicks": [')
    with pytest.raises(DamagedFile, match="cut short"):
        read(tmp_path / "a.json")


def test_distances():
    found = nearest([Click(3, 4), Click(300, 4), Click(0, 0, False)], 10, 400)
    assert found[0, 4, 3] == 0 and found[0, 8, 6] == 5 and found[0, 4, 290] == 10
    assert found[1, 3, 4] == 5 and found[1].max() == FARTHEST
    assert (nearest([], 3, 4) == FARTHEST).all()
    assert (distance(Click(1, 1), 3, 3)[0] == np.float32([2**0.5, 1, 2**0.5])).all()


def test_a_click_in_a_resized_picture():
    """As FCA-Net places it: parts of pixels are cut off."""
    assert scaled(Click(77, 33), 5.12, 768 / 150) == Click(394, 168)


@pytest.mark.parametrize("place", [(64, 5), (5, 48), (-1, 5), (5, -1)])
def test_a_click_outside(place):
    with pytest.raises(UserError, match=r"outside of the picture.*0 to 63.*0 to 47"):
        require_possible(Click(*place), (), 48, 64)


def test_contradictory_clicks_at_one_place():
    before = (Click(1, 2), Click(5, 6, False))
    with pytest.raises(UserError, match=r"click 5,6,\+: contradicts click number 2.*5,6,-"):
        require_possible(Click(5, 6), before, 48, 64)
    require_possible(Click(5, 6, False), before, 48, 64)


@pytest.mark.parametrize("box", [(5, 5, 4, 9), (0, 0, 64, 9), (-1, 0, 3, 3), (0, 9, 3, 8)])
def test_a_box_that_cannot_be(box):
    with pytest.raises(UserError, match="64x48 pixels"):
        require_box(box, 48, 64)
