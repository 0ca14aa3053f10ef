"""Augmentations: picture and depth stay together, and no depth is made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.depth import transforms
from tasks.depth.config import DataConfig
from tasks.depth.transforms import Sample, augment, kb_window
from tests.tasks.depth import small

sides = st.integers(4, 40)


def numbered(height, width):
    """Every pixel has a depth and a colour of its own, by which it can be found again."""
    depth = 1 + (np.arange(height * width) % 250).astype(np.float32).reshape(height, width)
    return Sample(np.stack([depth.astype(np.uint8)] * 3, axis=-1), depth)


def together(sample):
    measured = sample.depth > 0
    return np.array_equal(sample.image[measured][:, 0], sample.depth[measured].astype(np.uint8))


@given(sides, sides, sides, sides, st.integers(0, 99))
def test_cuts_and_mirrors_keep_picture_and_depth_together(height, width, rows, columns, seed):
    cut = transforms.random_crop(
        numbered(height, width), rows, columns, np.random.default_rng(seed)
    )
    assert cut.depth.shape == (rows, columns)
    assert together(cut) and together(transforms.flip(cut))
    assert (cut.image[cut.depth == 0] == transforms.MEAN_COLOUR).all()


@pytest.mark.parametrize("degrees", [-2.5, 0.0, 1.0, 5.0])
def test_a_turned_map_has_only_depths_that_were_there(degrees):
    sample = Sample(small.picture(1), small.depth(1))
    found = transforms.rotate(sample, degrees)
    assert set(found.depth.ravel()) <= set(sample.depth.ravel())
    if degrees == 0:
        np.testing.assert_array_equal(found.depth, sample.depth)
        np.testing.assert_array_equal(found.image, sample.image)
    else:
        assert found.depth[0, 0] == 0 or found.depth[-1, 0] == 0


def test_turning_moves_picture_and_depth_alike():
    depth = np.zeros((41, 41), np.float32)
    depth[20, 34:37] = 5
    image = np.repeat((depth * 50).astype(np.uint8)[..., None], 3, axis=2)
    found = transforms.rotate(Sample(image, depth), 90)
    assert (found.depth[4:7, 20] == 5).all()
    assert (found.image[4:7, 20, 0] > 200).all()


@pytest.mark.parametrize("short", [12, 24, 96])
def test_a_resized_map_has_only_depths_that_were_there(short):
    sample = Sample(small.picture(1), small.depth(1))
    found = transforms.fitted(sample, short)
    assert min(found.depth.shape) == short == min(found.image.shape[:2])
    assert set(found.depth.ravel()) <= set(sample.depth.ravel())
    assert transforms.fitted(sample, 0) is sample


@pytest.mark.parametrize(
    ("size", "top", "left"),
    [((375, 1242), 23, 13), ((370, 1226), 18, 5), ((352, 1216), 0, 0)],
)
def test_the_kb_crop(size, top, left):
    rows, columns = kb_window(*size)
    assert (rows.start, columns.start) == (top, left)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (352, 1216)


def test_pictures_that_the_kb_crop_does_not_fit():
    assert kb_window(351, 1300) is None
    assert kb_window(400, 1215) is None


def test_the_border_of_nyu():
    sample = transforms.without_border(numbered(480, 640), (45, 43, 8, 32))
    assert sample.depth.shape == (427, 565)
    assert sample.depth[0, 0] == numbered(480, 640).depth[45, 43]


def test_colours_vary_and_depth_does_not():
    sample = Sample(small.picture(1), small.depth(1))
    found = transforms.recolour(sample, (0.75, 1.25), np.random.default_rng(1))
    assert found.depth is sample.depth
    assert found.image.shape == sample.image.shape
    assert not np.array_equal(found.image, sample.image)
    # A brighter pixel stays the brighter one, channel by channel.
    order = np.argsort(sample.image[..., 0].ravel(), kind="stable")
    assert (np.diff(found.image[..., 0].ravel()[order].astype(int)) >= 0).all()


def test_no_change_at_all():
    data = DataConfig(crop_size=(48, 64), flip_probability=0, colour_probability=0)
    sample = Sample(small.picture(1), small.depth(1))
    found = augment(sample, data, np.random.default_rng(0))
    np.testing.assert_array_equal(found.image, sample.image)
    np.testing.assert_array_equal(found.depth, sample.depth)


def test_the_same_generator_gives_the_same_sample():
    data = DataConfig(crop_size=(32, 40), rotation=5)
    sample = Sample(small.picture(1), small.depth(1))
    one, two = (augment(sample, data, np.random.default_rng(4)) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(one, two, strict=True))
