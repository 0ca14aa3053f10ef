"""From a run to the depth of a picture."""

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from tasks.depth import draw
from tasks.depth.draw import STRIP
from tasks.depth.inference import Predictor, combine, depth_maps
from tests.tasks.depth import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depth") / "run"
    small.write_run(folder)
    return folder


@pytest.mark.parametrize(
    "flags", [(), ("--test.flip", "true"), ("--data.short_side", "32"), ("--data.focal", "300")]
)
def test_the_halves_of_a_call_are_the_call(run, flags):
    predictor = Predictor.open(run, device="cpu", flags=flags)
    picture = small.picture(1, 70, 50)
    found = predictor(picture)
    assert found.depth.shape == (50, 70) and found.depth.dtype == np.float32
    answered = predictor.answer(predictor.features(picture))
    np.testing.assert_allclose(answered.depth, found.depth, rtol=1e-5)


def test_several_pictures_are_each_as_alone(run):
    predictor = Predictor.open(run, device="cpu")
    pictures = [small.picture(1), small.picture(2, 40, 56), small.picture(3)]
    for one, picture in zip(predictor.many(pictures), pictures, strict=True):
        np.testing.assert_allclose(one.depth, predictor(picture).depth, rtol=1e-4)


def test_mirroring_gives_the_mirrored_answer(run):
    predictor = Predictor.open(run, device="cpu", flags=("--test.flip", "true"))
    picture = small.picture(4)
    mirrored = predictor(np.ascontiguousarray(picture[:, ::-1])).depth[:, ::-1]
    np.testing.assert_allclose(predictor(picture).depth, mirrored, rtol=1e-4)


class Leaning(nn.Module):
    """Answers that rise from left to right, at half of the picture's size."""

    def forward(self, images, focal=None):
        height, width = images.shape[-2] // 2, images.shape[-1] // 2
        return torch.linspace(1, 3, width).expand(len(images), 1, height, width)


def test_maps_have_the_size_that_is_asked_for():
    images, focal = torch.zeros(2, 3, 20, 30, dtype=torch.uint8), torch.zeros(2)
    found = depth_maps(Leaning(), images, focal, (41, 61), flip=False)
    assert found.shape == (2, 41, 61)
    assert (found.diff(dim=2) > -1e-5).all()
    both = depth_maps(Leaning(), images, focal, (20, 30), flip=True)
    torch.testing.assert_close(both, torch.full((2, 20, 30), 2.0))
    with pytest.raises(UserError, match="not finite"):
        combine([torch.full((1, 1, 2, 2), torch.nan)], (2, 2))


def test_what_is_said_and_drawn(run):
    predictor = Predictor.open(run, device="cpu")
    found = predictor(small.picture(1))
    said = predictor.describe(found)
    assert said["unit"] == "metres"
    assert said["nearest"] <= said["median"] <= said["farthest"]
    drawn = predictor.draw(small.picture(1), found)
    assert drawn.shape == (small.HEIGHT + STRIP, small.WIDTH, 3) and drawn.dtype == np.uint8


def test_near_is_red_far_is_blue_and_a_hole_is_grey():
    depth = np.array([[1.0, 5.0, 0.0]], np.float32)
    near, far, hole = draw.paint(depth, True, (1.0, 5.0))[0].astype(int)
    assert near[0] > near[2] and far[2] > far[0]
    assert tuple(hole) == draw.HOLE
    inverse = draw.paint(1 / np.maximum(depth, 0.01), False, (0.2, 1.0))[0].astype(int)
    assert inverse[0][0] > inverse[0][2]


@pytest.mark.parametrize(
    ("ends", "most", "wanted"),
    [
        ((1.2, 6.3), 5, [2, 3, 4, 5, 6]),
        ((1.0, 80.0), 4, [20, 40, 60, 80]),
        ((0.01, 0.02), 2, [0.01, 0.02]),
    ],
)
def test_a_scale_has_round_numbers(ends, most, wanted):
    assert draw.ticks(ends, most)[:9] == wanted


def test_every_scale_has_a_number():
    generator = np.random.default_rng(0)
    for _ in range(200):
        low = generator.uniform(0, 50)
        ends = (low, low + 10 ** generator.uniform(-3, 2))
        for most in (1, 2, 5):
            found = draw.ticks(ends, most)
            assert 1 <= len(found) <= most
            assert all(ends[0] - 1e-4 <= one <= ends[1] + 1e-4 for one in found)
