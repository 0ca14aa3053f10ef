"""Sizes and windows: nothing is made up, and what is not filled is as it was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.reading import windows

sides = st.integers(1, 40)


@given(sides, sides, sides, sides)
def test_nearest_values_are_values_that_were_there(height, width, rows, columns):
    values = np.arange(height * width, dtype=np.float32).reshape(height, width)
    found = windows.nearest(values, rows, columns)
    assert found.shape == (rows, columns)
    assert found.dtype == np.float32
    assert set(found.ravel()) <= set(values.ravel())


@given(sides, sides, sides, sides, st.integers(0, 9))
def test_a_window_of_what_is_padded(height, width, rows, columns, seed):
    values = np.arange(1, 1 + height * width, dtype=np.float32).reshape(height, width)
    whole = windows.padded(values, rows, columns, -1)
    assert whole.shape == (max(height, rows), max(width, columns))
    np.testing.assert_array_equal(whole[:height, :width], values)
    assert (whole == -1).sum() == whole.size - values.size
    here = windows.random_window(whole.shape, rows, columns, np.random.default_rng(seed))
    assert whole[here].shape == (rows, columns)


def test_a_constant_picture_stays_so_in_any_size():
    picture = np.full((20, 30, 3), 7, np.uint8)
    for size in ((5, 6), (40, 31)):
        assert (windows.resized(picture, *size) == 7).all()
        assert windows.resized(picture, *size).shape == (*size, 3)


@pytest.mark.parametrize(
    ("shape", "short", "wanted"),
    [((480, 640), 240, (240, 320)), ((100, 33), 66, (200, 66)), ((1000, 10), 1, (100, 1))],
)
def test_the_short_side(shape, short, wanted):
    assert windows.scaled_size((*shape, 3), short) == wanted
