"""RandAugment and mixing beside timm itself, drawn from generators that are counted."""

import random

import numpy as np
import pytest
import torch
from timm.data.auto_augment import rand_augment_transform
from timm.data.mixup import Mixup

from common.errors import UserError
from common.training.sampling import seed_all
from tasks.classification.augmentation import mixing, randaugment
from tasks.classification.config import DataConfig, LossConfig
from tests.tasks.classification import small


def test_randaugment_is_timms_under_the_same_seeds():
    augment = randaugment(DataConfig(input_size=64, randaugment=9, randaugment_operations=3))
    theirs = rand_augment_transform(
        "rand-m9-n3-mstd0.5-inc1",
        {"translate_const": 28, "img_mean": (124, 116, 104), "magnitude_max": 9.99},
    )
    picture = small.picture(0, 64, 64)
    changed = 0
    for seed in range(20):
        ours = augment(np.asarray(picture), np.random.default_rng(seed))
        generator = np.random.default_rng(seed)
        random.seed(int(generator.integers(2**63)))
        np.random.seed(int(generator.integers(2**32)))
        assert np.array_equal(ours, np.asarray(theirs(picture)))
        changed += not np.array_equal(ours, np.asarray(picture))
    assert changed > 10


def test_the_largest_magnitude_breaks_no_operation():
    """timm's posterisation would leave 0 bits there, which recent versions of Pillow refuse."""
    augment = randaugment(DataConfig(randaugment=10, randaugment_operations=8))
    picture = np.asarray(small.picture(0, 32, 32))
    for seed in range(60):
        assert augment(picture, np.random.default_rng(seed)).shape == (32, 32, 3)


def test_randaugment_can_be_off():
    assert randaugment(DataConfig()) is None


def batch(size=6, classes=5):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return images, torch.arange(size) % classes


def test_without_alphas_a_batch_stays_as_it_is():
    images, target = batch()
    same, labels = mixing(LossConfig(label_smoothing=0.1), 5)(images, target)
    assert same is images
    assert labels is target


@pytest.mark.parametrize(
    ("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.4, 1.0)], ids=["mixup", "cutmix", "both"]
)
def test_mixing_is_timms_and_counted(mixup, cutmix):
    config = LossConfig(mixup=mixup, cutmix=cutmix, label_smoothing=0.1)
    mix, theirs = mixing(config, 5), Mixup(mixup, cutmix, label_smoothing=0.1, num_classes=5)
    results = []
    for seed in (1, 2, 3, 1):
        images, target = batch()
        before = images.clone()
        seed_all(seed)
        mixed, soft = mix(images, target)
        assert torch.equal(images, before), "the batch itself is not written into"
        seed_all(seed)
        expected, distribution = theirs(images.float(), target)
        assert torch.equal(mixed, expected)
        assert torch.equal(soft, distribution)
        assert soft.sum(dim=1).tolist() == pytest.approx([1.0] * 6)
        assert 0 <= mixed.min() <= mixed.max() <= 255
        results.append(mixed)
    assert torch.equal(results[0], results[3])
    assert not torch.equal(results[0], results[1])


def test_mixup_by_hand():
    """Zhang et al., equation of section 2, with the batch in reverse as partners."""
    images, target = batch(4, classes=4)
    np.random.seed(5)
    np.random.rand()
    share = np.random.beta(0.3, 0.3)
    np.random.seed(5)
    mixed, soft = mixing(LossConfig(mixup=0.3), 4)(images, target)
    floats, hot = images.float(), torch.eye(4)[target]
    assert torch.allclose(mixed, share * floats + (1 - share) * floats.flip(0), atol=1e-3)
    assert torch.allclose(soft, (share * hot + (1 - share) * hot.flip(0)).float(), atol=1e-6)


def test_an_odd_micro_batch_is_refused():
    mix = mixing(LossConfig(mixup=0.2), 5)
    with pytest.raises(UserError, match=r"has 3 pictures: choose an --engine\.batch_size"):
        mix(*batch(3))
