"""From heat maps to joints and scores of persons, against direct, slow implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pose.metrics import decode, flip_back, rescore


def slow_decode(heatmap):
    """One heat map (h, w): the published rule, pixel by pixel."""
    height, width = heatmap.shape
    best, place = -math.inf, (0, 0)
    for y in range(height):
        for x in range(width):
            if heatmap[y, x] > best:
                best, place = heatmap[y, x], (x, y)
    point = [float(place[0]), float(place[1])] if best > 0 else [0.0, 0.0]
    px, py = math.floor(point[0] + 0.5), math.floor(point[1] + 0.5)
    if 1 < px < width - 1 and 1 < py < height - 1:
        point[0] += 0.25 * np.sign(heatmap[py, px + 1] - heatmap[py, px - 1])
        point[1] += 0.25 * np.sign(heatmap[py + 1, px] - heatmap[py - 1, px])
    return point, best


def gaussian(center, size_wh, sigma):
    x = torch.arange(size_wh[0], dtype=torch.float64)
    y = torch.arange(size_wh[1], dtype=torch.float64)[:, None]
    square = (x - center[0]) ** 2 + (y - center[1]) ** 2
    return torch.exp(-square / (2 * sigma**2)).float()


# --- decode -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(3, 9), st.integers(3, 9), st.sampled_from([2, 5, 1000])
)
def test_decode_equals_the_published_rule(seed, height, width, levels):
    # Few levels make ties; the shift makes whole maps without a positive value.
    generator = np.random.default_rng(seed)
    maps = generator.integers(0, levels, (3, 4, height, width)).astype(np.float32)
    maps -= generator.choice([0, levels // 2, levels], (3, 4, 1, 1))
    points, scores = decode(torch.from_numpy(maps))
    for person in range(3):
        for joint in range(4):
            point, score = slow_decode(maps[person, joint])
            assert points[person, joint].tolist() == point
            assert scores[person, joint].item() == score


@pytest.mark.parametrize("x", range(8))
@pytest.mark.parametrize("y", range(8))
def test_quarter_offset_at_every_place_of_a_map(x, y):
    heatmap = np.full((8, 8), 0.1, dtype=np.float32)
    heatmap[y, x] = 1
    if x < 7:
        heatmap[y, x + 1] = 0.5
    if y < 7:
        heatmap[y + 1, x] = 0.5
    points, _ = decode(torch.from_numpy(heatmap)[None, None])
    assert points[0, 0].tolist() == slow_decode(heatmap)[0]
    moved = 2 <= x <= 6 and 2 <= y <= 6
    assert points[0, 0].tolist() == [x + 0.25 * moved, y + 0.25 * moved]


def test_decode_of_low_precision_maps_is_exact_in_their_values():
    maps = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    for got, expected in zip(decode(maps), decode(maps.float()), strict=True):
        assert got.dtype == torch.float32
        assert torch.equal(got, expected)


def test_decode_of_no_persons():
    points, scores = decode(torch.zeros(0, 17, 64, 48))
    assert points.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


@settings(deadline=None, max_examples=200)
@given(
    st.floats(0.51, 46.49), st.floats(0.51, 62.49), st.sampled_from([2.0, 3.0]), st.floats(0.05, 2)
)
def test_unbiased_decoding_recovers_a_fractional_center(x, y, sigma, height):
    heatmap = height * gaussian((x, y), (48, 64), sigma)
    points, scores = decode(heatmap[None, None], unbiased=True, sigma=sigma)
    assert abs(points[0, 0, 0].item() - x) < 0.05
    assert abs(points[0, 0, 1].item() - y) < 0.05
    assert scores[0, 0].item() == heatmap.max().item()


def test_unbiased_decoding_is_nearer_than_the_published_one_under_noise():
    generator = torch.Generator().manual_seed(3)
    centers = torch.rand(400, 2, generator=generator) * torch.tensor([36.0, 52.0]) + 6
    maps = torch.stack([gaussian(center, (48, 64), 2.0) for center in centers])[:, None]
    maps += 0.02 * torch.randn(maps.shape, generator=generator)
    error = {
        unbiased: (decode(maps, unbiased)[0][:, 0] - centers).norm(dim=1).mean().item()
        for unbiased in (False, True)
    }
    assert error[True] < 0.1
    assert error[True] < 0.4 * error[False]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_unbiased_decoding_of_anything_stays_within_a_pixel_of_the_maximum(seed):
    maps = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(seed))
    points, scores = decode(maps, unbiased=True)
    places = maps.flatten(2).argmax(dim=2)
    peaks = torch.stack((places % 12, places // 12), dim=-1)
    assert torch.isfinite(points).all()
    assert (points - peaks).abs().max() <= 1
    assert torch.equal(scores, maps.flatten(2).amax(dim=2))


def test_unbiased_decoding_of_flat_and_negative_maps():
    maps = torch.stack((torch.full((16, 12), 0.5), torch.full((16, 12), -0.5)))[None]
    points, scores = decode(maps, unbiased=True)
    assert points.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert scores.tolist() == [[0.5, -0.5]]


# --- flip_back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [False, True])
def test_flip_back_pixel_by_pixel(shift):
    maps = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(1))
    partner = {0: 0, 1: 3, 2: 4, 3: 1, 4: 2}
    got = flip_back(maps, [(1, 3), (2, 4)], shift)
    for joint in range(5):
        for x in range(6):
            source = max(x - 1, 0) if shift else x
            expected = maps[:, partner[joint], :, 5 - source]
            assert torch.equal(got[:, joint, :, x], expected)


def test_flip_back_twice_is_the_identity_without_the_shift():
    maps = torch.randn(1, 5, 4, 6)
    pairs = ((1, 3), (2, 4))
    assert torch.equal(flip_back(flip_back(maps, pairs, False), pairs, False), maps)


# --- rescore ------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_rescore_person_by_person(seed):
    generator = np.random.default_rng(seed)
    boxes = generator.random(6)
    joints = generator.choice([0.1, 0.2, 0.3, 0.9], (6, 5))
    expected = []
    for box, person in zip(boxes, joints, strict=True):
        counted = [score for score in person if score > 0.2]
        expected.append(box * sum(counted) / len(counted) if counted else 0.0)
    np.testing.assert_allclose(rescore(boxes, joints), expected, rtol=1e-12)
