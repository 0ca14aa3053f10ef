"""Orientation against nibabel's own, and the way to another size and back."""

import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.volumes.volume import (
    Grid,
    Volume,
    grid_of,
    nearest,
    places,
    resampled,
    slices_of,
    working_shape,
)
from tests.tasks.volumes import small

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*axes)
]
"""All 48."""


def turned(grid, degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([
        [np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1],
    ])  # fmt: skip
    affine = grid.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    return Grid(grid.shape, affine)


@pytest.mark.parametrize("degrees", [0, 5])
def test_every_orientation_comes_out_as_nibabel_turns_it_and_goes_back(degrees):
    generator = np.random.default_rng(0)
    for letters in ORIENTATIONS:
        grid = turned(small.grid(letters, (3, 4, 5)), degrees)
        stored = generator.integers(0, 100, grid.shape).astype(np.int16)
        own = nibabel.orientations.io_orientation(grid.affine)
        wanted = nibabel.orientations.axcodes2ornt("LPS")
        way = nibabel.orientations.ornt_transform(own, wanted)
        expected = nibabel.orientations.apply_orientation(stored, way).transpose(2, 1, 0)
        found = grid.canonical(stored)
        assert np.array_equal(found, expected), letters
        assert found.shape == (3, 4, 5)
        assert grid.spacing == pytest.approx(small.SPACING)
        assert np.array_equal(grid.restored(found), stored), letters


def test_an_array_is_in_the_working_orientation():
    values = np.arange(24).reshape(2, 3, 4).astype(np.int16)
    grid = grid_of(values.shape, (5.0, 0.8, 0.7))
    assert nibabel.aff2axcodes(grid.affine) == ("L", "P", "S")
    assert grid.spacing == pytest.approx((5.0, 0.8, 0.7))
    assert np.array_equal(grid.canonical(values.transpose(2, 1, 0)), values)


def test_an_affine_that_makes_no_sense_is_told():
    affine = np.eye(4)
    assert Grid((2, 2, 2), affine).fault() is None
    tilted = affine.copy()
    tilted[1, 2] = 0.3
    assert "tilted" in Grid((2, 2, 2), tilted).fault()
    affine[0, 0] = 0
    assert "sizes" in Grid((2, 2, 2), affine).fault()


def test_a_slope_stays_a_slope_in_any_size():
    """Linear values keep their place in the body: half a voxel at the border is the trap."""
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in (8, 12, 10)], indexing="ij")
    values = np.rint(1000 * (z + 2 * y + 3 * x)).astype(np.int16)
    for shape in ((8, 12, 10), (16, 24, 20), (5, 30, 23)):
        z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
        inner = (slice(2, -2), slice(2, -2), slice(2, -2)) if shape[0] > 4 else ()
        expected = 1000 * (z + 2 * y + 3 * x)
        assert np.abs(resampled(values, shape) - expected)[inner].max() < 3
        back = resampled(resampled(values, shape), values.shape)[2:-2, 3:-3, 3:-3]
        assert np.abs(back - values[2:-2, 3:-3, 3:-3]).max() < 12


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30))
def test_places_are_inside_and_rise(wanted, given_):
    lower, upper, part = places(wanted, given_)
    assert (np.diff(lower) >= 0).all() and lower.min() >= 0 and upper.max() < given_
    assert (part >= 0).all() and (part < 1).all()
    exact = lower + part
    assert np.allclose(exact, (exact + exact[::-1]) / 2 + exact - (given_ - 1) / 2, atol=1e-9)


def test_labels_take_the_nearest_voxel_and_spacing_says_the_size():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, :2, :2] = 3
    larger = nearest(labels, (8, 8, 8))
    assert (larger == 3).sum() == 64 and set(np.unique(larger)) == {0, 3}
    assert np.array_equal(nearest(larger, (4, 4, 4)), labels)
    volume = Volume(np.zeros((10, 20, 30), np.int16), grid_of((10, 20, 30), (5.0, 0.8, 0.8)))
    assert working_shape(volume, (0, 0, 0)) == (10, 20, 30)
    assert working_shape(volume, (2.5, 1.6, 0)) == (20, 10, 30)
    assert working_shape(volume, (900.0, 0, 0)) == (1, 20, 30)


def test_slices_of_the_same_size_are_the_volume_s_own():
    values = np.random.default_rng(0).integers(-1000, 1000, (3, 4, 5)).astype(np.int16)
    at = slices_of(values, (3, 4, 5))
    assert all(np.array_equal(at(index), values[index]) for index in range(3))
