"""What predictors take, and what decides whether two can share a pass of their trunk."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from common.commands.predictor import fingerprint, groups, picture_of
from tasks import open_run
from tests.tasks.segmentation import oracle


def test_a_picture_is_an_array_or_a_file(tmp_path):
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for given in (pixels, tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(picture_of(given), pixels)


def test_views_and_arrays_that_cannot_be_written_are_taken(tmp_path):
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    turned = picture_of(pixels[::-1, ::2])
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, pixels[::-1, ::2])
    pixels.flags.writeable = False
    assert picture_of(pixels).flags.writeable


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((4, 6), np.uint8), r"uint8 of shape \(4, 6\)"),
        (np.zeros((4, 6, 4), np.uint8), r"\(4, 6, 4\)"),
        (np.zeros((4, 6, 3), np.float32), "float32"),
        (np.zeros((0, 6, 3), np.uint8), "at least one pixel"),
        ([[1, 2, 3]], "is a list"),
        (None, "is a NoneType"),
    ],
)
def test_what_is_not_a_picture_is_named(given, words):
    with pytest.raises(ValueError, match=words):
        picture_of(given)


def test_equal_kinds_go_together_up_to_a_batch():
    assert groups(["a", "b", "a", "a", "b"], 2) == [[0, 2], [3], [1, 4]]
    assert groups([], 2) == []


def test_a_fingerprint_follows_weights_and_layers():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3)
    other = nn.Conv2d(3, 4, 3, stride=2)
    other.load_state_dict(layer.state_dict())
    same = nn.Conv2d(3, 4, 3)
    same.load_state_dict(layer.state_dict())
    assert fingerprint(layer) == fingerprint(same) != fingerprint(other)
    with torch.no_grad():
        same.weight[0, 0, 0, 0] += 1e-6
    assert fingerprint(layer) != fingerprint(same)


def test_runs_with_one_trunk_share_its_input_and_other_settings_do_not(tmp_path):
    oracle.write_run(tmp_path / "one")
    oracle.write_run(tmp_path / "two")
    first, second = (open_run(tmp_path / name).trunk_input for name in ("one", "two"))
    assert first == second
    for how in ({"precision": "bf16"}, {"flags": ("--test.short_side", "40")}):
        assert open_run(tmp_path / "one", **how).trunk_input != first
    assert dataclasses.replace(first, colour="BGR") != first
