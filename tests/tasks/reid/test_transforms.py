"""Scaling against Pillow, augmentation and erasing against the published recipe done directly."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from common.layers import Normalize
from tasks.reid.model import MEAN, STD, erase
from tasks.reid.transforms import NOTHING, Augmentation, augment, scale
from tests.tasks.reid import small

ALL = Augmentation(flip_probability=0.5, padding=10, erase_probability=0.5)
NONE = Augmentation(flip_probability=0, padding=0, erase_probability=0)


@pytest.mark.parametrize("size", [(64, 128), (48, 100), (301, 77), (20, 500), (128, 256)])
def test_scaling_is_pillows(size):
    picture = small.picture(3, size)
    expected = np.asarray(picture.resize((128, 256), Image.Resampling.BILINEAR))
    found = scale(np.asarray(picture).copy(), (256, 128)).transpose(1, 2, 0)
    assert found.shape == (256, 128, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_scaling_averages_what_it_shrinks():
    checkered = np.indices((128, 64)).sum(axis=0)[..., None] % 2 * np.full(3, 255)
    found = scale(checkered.astype(np.uint8), (32, 16))
    assert np.abs(found.astype(int) - 127).max() < 20


def test_no_augmentation_changes_nothing():
    image = scale(np.asarray(small.picture(1)).copy(), (64, 32))
    for seed in range(5):
        found, erased = augment(image, NONE, np.random.default_rng(seed))
        np.testing.assert_array_equal(found, image)
        assert erased == NOTHING


def test_augmentation_is_a_function_of_the_generator():
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 32), dtype=np.uint8)
    before = image.copy()
    results = [augment(image, ALL, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert any(not np.array_equal(results[0][0], other[0]) for other in results[2:])
    np.testing.assert_array_equal(image, before)


def test_padding_and_cutting_shift_the_picture_over_black():
    """Every result is the picture or its mirror image, moved by at most the padding."""
    image = np.random.default_rng(0).integers(1, 256, (3, 20, 12), dtype=np.uint8)
    mirrored, moves = 0, set()
    for seed in range(300):
        found, _ = augment(image, Augmentation(0.5, 3, 0), np.random.default_rng(seed))
        matches = [
            (flip, y, x)
            for flip in (False, True)
            for y in range(7)
            for x in range(7)
            if np.array_equal(found, window(image[:, :, ::-1] if flip else image, y, x))
        ]
        assert len(matches) == 1
        mirrored += matches[0][0]
        moves.add(matches[0][1:])
    assert 110 < mirrored < 190
    assert len(moves) == 49


def window(image, y, x):
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)))
    return padded[:, y : y + 20, x : x + 12]


def erase_directly(normalized, probability, generator):
    """The published random erasing of one normalised picture (3, H, W), in place, as written."""
    if generator.random() >= probability:
        return normalized
    height, width = normalized.shape[1:]
    for _ in range(100):
        target = generator.uniform(0.02, 0.4) * height * width
        aspect = generator.uniform(0.3, 1 / 0.3)
        tall, wide = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if wide < width and tall < height:
            y = generator.integers(0, height - tall, endpoint=True)
            x = generator.integers(0, width - wide, endpoint=True)
            for channel, value in enumerate((0.485, 0.456, 0.406)):
                normalized[channel, y : y + tall, x : x + wide] = value
            return normalized
    return normalized


def test_erasing_behind_the_normalisation_equals_the_published_code_bit_for_bit():
    """The rectangle travels with the sample, and the model fills it in the normalised picture."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (40, 3, 64, 32), dtype=np.uint8))
    only = Augmentation(flip_probability=0, padding=0, erase_probability=0.5)
    normalize = Normalize(MEAN, STD)
    expected, rectangles = [], []
    for number, image in enumerate(images):
        found, rectangle = augment(image.numpy(), only, np.random.default_rng(number))
        np.testing.assert_array_equal(found, image)
        rectangles.append(rectangle)
        same = np.random.default_rng(number)
        same.random()  # whether to mirror
        same.integers(0, 0, size=2, endpoint=True)  # where to cut
        expected.append(erase_directly(normalize(image[None])[0].clone(), 0.5, same))
    found = erase(normalize(images), torch.tensor(rectangles))
    assert torch.equal(found, torch.stack(expected))
    assert 10 < sum(rectangle != NOTHING for rectangle in rectangles) < 30


def test_erased_rectangles_are_of_the_published_sizes():
    image = np.zeros((3, 256, 128), dtype=np.uint8)
    shares, aspects = [], []
    for seed in range(400):
        only = Augmentation(0, 0, 1)
        _, (top, left, tall, wide) = augment(image, only, np.random.default_rng(seed))
        assert top + tall <= 256
        assert left + wide <= 128
        shares.append(tall * wide / (256 * 128))
        aspects.append(tall / wide)
    assert 0.018 < min(shares) < 0.03
    assert 0.35 < max(shares) < 0.41
    assert 0.29 < min(aspects) < 0.4
    assert 3 < max(aspects) < 3.5


def test_a_rectangle_of_nothing_erases_nothing():
    images = torch.randn(2, 3, 8, 6)
    rectangles = torch.tensor([NOTHING, (1, 2, 3, 4)])
    found = erase(images, rectangles)
    assert torch.equal(found[0], images[0])
    assert (found[1, :, 1:4, 2:6] == torch.tensor(MEAN).view(3, 1, 1)).all()
    assert (found[1] == images[1]).sum() == 3 * (8 * 6 - 3 * 4)
