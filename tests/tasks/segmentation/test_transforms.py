"""Augmentations: picture and labels stay together, nothing is invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.reading.windows import MEAN_COLOUR, scaled_size
from tasks.segmentation.labels import IGNORED
from tasks.segmentation.transforms import (
    Sample,
    blur,
    flip,
    pad,
    random_crop,
    random_scale,
    resize,
)

sides = st.integers(1, 40)


def numbered(height, width):
    """Every pixel has a label and a colour of its own, by which it can be found again."""
    label = (np.arange(height * width) % 250).astype(np.uint8).reshape(height, width)
    return Sample(np.stack([label, label, label], axis=-1), label)


@given(sides, sides, sides, sides, st.integers(0, 99))
def test_a_crop_is_a_part_of_the_picture_or_padding(height, width, rows, columns, seed):
    cut = random_crop(numbered(height, width), rows, columns, np.random.default_rng(seed))
    assert cut.label.shape == (rows, columns)
    assert cut.image.shape == (rows, columns, 3)
    padding = cut.label == IGNORED
    # Padding lies at the right and below, and there is only as much as is needed.
    assert padding.sum() == rows * columns - min(rows, height) * min(columns, width)
    assert (padding[min(rows, height) :]).all()
    assert (padding[:, min(columns, width) :]).all()
    assert np.array_equal(cut.image[~padding][:, 0], cut.label[~padding])
    assert (cut.image[padding] == MEAN_COLOUR).all()


def test_every_place_of_a_crop_comes_up():
    generator = np.random.default_rng(0)
    sample = numbered(6, 9)
    corners = {int(random_crop(sample, 4, 7, generator).label[0, 0]) for _ in range(300)}
    assert corners == {9 * top + left for top in range(3) for left in range(3)}


def test_padding_is_never_background():
    """Published code pads labels with 0, which teaches that the world ends in background."""
    padded = pad(numbered(3, 4), 5, 9)
    assert (padded.label[3:] == IGNORED).all()
    assert (padded.label[:, 4:] == IGNORED).all()
    assert pad(numbered(3, 4), 2, 4).label.shape == (3, 4)


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 60))
def test_scaled_sizes_keep_the_shape_of_the_picture(height, width, short_side):
    rows, columns = scaled_size((height, width, 3), short_side)
    assert min(rows, columns) == short_side
    assert abs(rows / columns - height / width) <= (1 + height / width) / (2 * short_side)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 60), st.integers(1, 60))
def test_labels_are_taken_not_mixed_and_symmetrically(height, width, rows, columns):
    label = np.random.default_rng(height).choice([0, 7, 255], (height, width)).astype(np.uint8)
    sample = Sample(np.zeros((height, width, 3), np.uint8), label)
    found = resize(sample, rows, columns)
    assert found.label.shape == (rows, columns)
    assert set(np.unique(found.label)) <= {0, 7, 255}
    # Half a pixel of shift, the fault of common nearest-neighbour methods, would show in a mirror.
    if columns % width == 0:
        assert np.array_equal(resize(flip(sample), rows, columns).label, flip(found).label)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_picture_and_labels_are_enlarged_about_the_same_points(factor):
    for here in (np.s_[2:6], np.s_[:, 3:7]):
        label = np.zeros((8, 10), np.uint8)
        label[here] = 200
        image = np.repeat(label[..., None], 3, axis=-1)
        found = resize(Sample(image, label), 8 * factor, 10 * factor)
        assert np.array_equal(found.image[..., 0] > 100, found.label > 100)


def test_shrunk_pictures_do_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    found = resize(Sample(stripes, stripes[..., 0]), 16, 16)
    assert abs(found.image.astype(int) - 127).max() <= 1


def test_scales_are_spread_evenly_between_their_limits():
    generator = np.random.default_rng(0)
    sample = numbered(20, 30)
    for base, low, high in ((0, 10, 40), (50, 25, 100)):
        drawn = [
            min(random_scale(sample, base, (0.5, 2.0), generator).label.shape) for _ in range(800)
        ]
        assert (min(drawn), max(drawn)) == (low, high)
        assert np.mean(drawn) == pytest.approx((low + high) / 2, rel=0.05)


def test_mirroring_twice_changes_nothing():
    sample = numbered(5, 7)
    assert np.array_equal(flip(sample).label[:, 0], sample.label[:, -1])
    assert np.array_equal(flip(flip(sample)).image, sample.image)
    assert np.array_equal(flip(sample).image[..., 0], flip(sample).label)


def test_blur_touches_the_picture_only():
    sample = numbered(20, 20)
    assert blur(sample, 0) is sample
    found = blur(flip(sample), 0.9)
    assert np.array_equal(found.label, flip(sample).label)
    assert found.image.astype(int).std() < sample.image.astype(int).std()
