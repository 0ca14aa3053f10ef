"""Classes without a pixel are told before training, and training on nothing is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from tasks.segmentation.config import DataConfig
from tasks.segmentation.survey import require_classes, survey, tell_classes
from tests.tasks.segmentation import small

DATA = DataConfig(format="folders", classes=("background", "road"))


def write(root, maps, split="train"):
    """Pictures and label maps of these arrays."""
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    for number, labels in enumerate(maps):
        stored = np.asarray(labels, np.uint8)
        Image.new("RGB", stored.shape[::-1]).save(root / "images" / split / f"{number:03d}.png")
        Image.fromarray(stored).save(root / "labels" / split / f"{number:03d}.png")
    return root


def told(capsys):
    return capsys.readouterr().err.strip()


def refusal(split, data):
    with pytest.raises(UserError) as caught:
        require_classes(split, data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_masks_of_0_and_255_name_the_settings_that_read_them(tmp_path, capsys):
    root = write(tmp_path, [[[0, 0, 0, 255]]] * 9)
    split = small.read_split(root, "train", DATA)
    words = refusal(split, DATA)
    assert words == (
        "train: class road has no pixel in 9 label maps; 255 is ignored in 25 % of the pixels, so "
        "there is nothing to tell apart; if 255 is road, say --data.values "
        "'{background: 0, road: 255}' --data.ignore_index 254"
    )
    values = {"background": 0, "road": 255}
    advised = replace(DATA, values=values, ignore_index=254)
    split = small.read_split(root, "train", advised)
    require_classes(split, advised)
    assert split.read(0).label.tolist() == [[0, 0, 0, 1]]
    assert told(capsys) == ""


def test_the_advice_keeps_the_other_values(tmp_path):
    data = replace(DATA, values=(254, 1))
    split = small.read_split(write(tmp_path, [[[254, 255]]]), "train", data)
    words = refusal(split, data)
    assert "--data.values '{background: 254, road: 255}' --data.ignore_index 253" in words


def test_one_class_and_values_of_none(tmp_path):
    data = replace(DATA, unknown="ignore")
    split = small.read_split(write(tmp_path, [[[0, 0, 0, 128]]]), "train", data)
    words = refusal(split, data)
    assert "class road has no pixel in 1 label maps; --data.unknown ignore leaves" in words
    assert "leaves out 25 % of the pixels, of no class" in words
    assert words.endswith("correct --data.values, --data.palette or --data.ignore_index")


def test_a_class_that_does_not_occur_is_told_with_numbers(tmp_path, capsys):
    data = replace(DATA, classes=("sky", "road", "car", "tree"))
    split = small.read_split(write(tmp_path, [[[0, 1]], [[1, 255]]]), "train", data)
    tell_classes(split, data, require_classes(split, data))
    assert told(capsys) == (
        "note: train: 2 classes have no pixel (car, tree) in 2 label maps; 255 is ignored in 25 % "
        "of the pixels"
    )
    tell_classes(small.read_split(tmp_path, "train", DATA), DATA)
    assert told(capsys) == "", "every class occurs"


def test_without_ignored_pixels_one_class_is_only_told(tmp_path, capsys):
    split = small.read_split(write(tmp_path, [[[0, 0]]] * 3), "train", DATA)
    tell_classes(split, DATA, require_classes(split, DATA))
    assert told(capsys) == "note: train: class road has no pixel in 3 label maps"


def test_of_a_large_split_some_maps_are_looked_at_and_all_before_it_is_refused(tmp_path):
    maps = [[[0, 255]]] * 7
    split = small.read_split(write(tmp_path, maps), "train", DATA)
    found = survey(split, "stop", most=3)
    assert (found.maps, found.of) == (3, 7)
    assert found.where() == "the 3 label maps looked at of 7 label maps"
    assert found.pixels[[0, 1, 255]].tolist() == [3, 0, 3]
    # One map of 300 has the class, between those that are looked at.
    many = [[[0, 255]]] * 300
    many[2] = [[1, 255]]
    split = small.read_split(write(tmp_path / "many", many), "train", DATA)
    assert not survey(split, "stop").pixels[1]
    require_classes(split, DATA)


def test_damaged_maps_stop_or_are_left_out(tmp_path):
    split = small.read_split(write(tmp_path, [[[0, 1]]] * 2), "train", DATA)
    split.pairs[1].label.write_bytes(b"none")
    with pytest.raises(DamagedFile, match=r"001\.png"):
        survey(split, "stop")
    assert survey(split, "skip").pixels.sum() == 2
