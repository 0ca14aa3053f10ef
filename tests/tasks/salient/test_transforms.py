"""Sizes, mirror images, crops and light: pictures and masks always change together."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tasks.salient.transforms import (
    Augmentation,
    augment,
    fit,
    fit_edges,
    fit_mask,
    fitted_size,
    scale,
)

NOTHING = Augmentation(flip_probability=0, least_crop=1, light=0)


@pytest.fixture
def pair():
    """A picture whose channels are its rows, its columns and its mask."""
    rows, columns = np.mgrid[0:40, 0:70].astype(np.uint8)
    mask = np.where((rows > 10) & (columns > 30), 255, 0).astype(np.uint8)
    return np.dstack([rows, columns, mask]), mask


def generator():
    return np.random.default_rng(7)


def test_nothing_changes_without_augmentation(pair):
    image, mask = augment(*pair, NOTHING, generator())
    assert np.array_equal(image, pair[0])
    assert np.array_equal(mask, pair[1])


def test_mirrored_pictures_have_mirrored_masks(pair):
    always = dataclasses.replace(NOTHING, flip_probability=1)
    image, mask = augment(*pair, always, generator())
    assert np.array_equal(image[:, :, 2], mask)
    assert np.array_equal(mask, pair[1][:, ::-1])


def test_half_of_the_pictures_are_mirrored(pair):
    some = dataclasses.replace(NOTHING, flip_probability=0.5)
    draws = np.random.default_rng(0)
    mirrored = [augment(*pair, some, draws)[0][0, 0, 1] == 69 for _ in range(200)]
    assert 0.4 < np.mean(mirrored) < 0.6


def test_crops_are_parts_of_picture_and_mask_alike(pair):
    cut = dataclasses.replace(NOTHING, least_crop=0.5)
    draws = np.random.default_rng(1)
    corners, sizes = [], []
    for _ in range(100):
        image, mask = augment(*pair, cut, draws)
        top, left = image[0, 0, :2]
        part = np.s_[top : top + image.shape[0], left : left + image.shape[1]]
        assert np.array_equal(image, pair[0][part])
        assert np.array_equal(mask, pair[1][part])
        corners.append((top, left))
        sizes.append(mask.shape)
    assert min(rows for rows, _ in sizes) >= 20 and min(columns for _, columns in sizes) >= 35
    assert len(set(sizes)) > 50
    # The whole picture can be reached.
    assert min(top for top, _ in corners) == 0 and min(left for _, left in corners) == 0
    ends = [top + rows for (top, _), (rows, _) in zip(corners, sizes, strict=True)]
    assert max(ends) == 40


def test_light_changes_the_picture_alone(pair):
    bright = dataclasses.replace(NOTHING, light=0.4)
    image, mask = augment(*pair, bright, generator())
    assert np.array_equal(mask, pair[1])
    assert not np.array_equal(image, pair[0])
    assert np.array_equal(np.argsort(image[:, 0, 0], kind="stable"), np.arange(40)), "monotone"


def test_the_same_generator_gives_the_same_sample(pair):
    every = Augmentation(flip_probability=0.5, least_crop=0.6, light=0.2)
    first, second = (augment(*pair, every, np.random.default_rng([3, 4])) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_one_setting_does_not_change_the_draws_of_another(pair):
    """Mirrored or not is decided alike with and without crops."""
    for seed in range(20):
        whole = augment(*pair, dataclasses.replace(NOTHING, flip_probability=0.5),
                        np.random.default_rng(seed))[0]  # fmt: skip
        cut = augment(*pair, Augmentation(0.5, 0.5, 0), np.random.default_rng(seed))[0]
        assert (whole[0, 0, 1] > whole[0, -1, 1]) == (cut[0, 0, 1] > cut[0, -1, 1])


def test_native_pictures_stay_as_they_are(pair):
    fitted = fit(pair[0], "native", (32, 32))
    assert fitted.image is pair[0]
    assert (fitted.rows, fitted.columns) == (40, 70)
    assert fit_mask(pair[1], "native", (32, 32)) is pair[1]
    assert fit_edges(pair[1], "native", (32, 32), 9) is pair[1]


def test_stretched_pictures_fill_the_input(pair):
    fitted = fit(pair[0], "stretch", (32, 48))
    assert fitted.image.shape == (32, 48, 3)
    assert (fitted.rows, fitted.columns) == (32, 48)
    assert (
        np.abs(fitted.image[:, :, 2].astype(int) - fit_mask(pair[1], "stretch", (32, 48))).max()
        == 0
    )


@pytest.mark.parametrize("size", [(17, 23), (64, 30), (90, 141)])
def test_the_antialiasing_filter_is_a_triangle_as_wide_as_the_shrinking(pair, size):
    fitted = fit(pair[0], "stretch", size, "antialiased")
    whole = torch.from_numpy(pair[0]).permute(2, 0, 1)[None].double()
    wanted = F.interpolate(whole, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(fitted.image - wanted.numpy()).max() < 1.1
    plain = fit(pair[0], "stretch", size).image
    # Made larger, both are bilinear.
    assert (np.abs(plain.astype(int) - fitted.image).max() <= 1) == (size == (90, 141))
    mask = fit_mask(pair[1], "stretch", size, "antialiased")
    assert mask.shape == size
    assert np.array_equal(mask, scale(pair[1], size, "antialiased"))


@pytest.mark.parametrize(
    ("size", "content"), [((35, 35), (20, 35)), ((20, 90), (20, 35)), ((80, 141), (80, 140))]
)
def test_padded_pictures_keep_their_aspect(pair, size, content):
    fitted = fit(pair[0], "pad", size)
    assert fitted.image.shape == (*size, 3)
    assert (fitted.rows, fitted.columns) == content == fitted_size((40, 70), "pad", size)
    rows, columns = content
    # The border goes on to the right and below; the mask has a level of its own there.
    assert (fitted.image[rows:] == fitted.image[rows - 1]).all()
    assert (fitted.image[:rows, columns:] == fitted.image[:rows, columns - 1 : columns]).all()
    mask = fit_mask(pair[1], "pad", size, padding=77)
    assert mask.shape == size
    assert (mask[rows:] == 77).all() and (mask[:, columns:] == 77).all()
    assert np.array_equal(mask[:rows, :columns], scale(pair[1], content))


def test_thin_lines_stay_whole_when_shrunk():
    edges = np.zeros((100, 100), dtype=np.uint8)
    cv2.line(edges, (3, 3), (96, 60), 255, 1)
    small = fit_edges(edges, "stretch", (30, 30), 64)
    assert set(np.unique(small)) <= {0, 255}
    count, _ = cv2.connectedComponents((small > 0).astype(np.uint8))
    assert count == 2, "one line and the background"
    padded = fit_edges(edges, "pad", (30, 40), 64)
    assert (padded[:, 30:] == 64).all()
