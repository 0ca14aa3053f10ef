"""Losses against loops over pixels and the library's own."""

import math

import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from common.networks.losses import cross_entropy, dice
from tasks.segmentation.config import LossConfig
from tasks.segmentation.loss import terms


def drawn(seed=0, batch=3, classes=4, size=(5, 6), ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, *size, generator=generator)
    labels = torch.randint(0, classes, (batch, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels.byte()


def losses_by_loop(logits, labels):
    """Cross-entropies of the labelled pixels of each sample."""
    found = []
    for scores, truth in zip(logits, labels, strict=True):
        found.append([])
        for y in range(truth.shape[0]):
            for x in range(truth.shape[1]):
                if truth[y, x] != 255:
                    exponents = [math.exp(float(score)) for score in scores[:, y, x]]
                    found[-1].append(-math.log(exponents[int(truth[y, x])] / sum(exponents)))
    return found


def mean(values):
    return sum(values) / len(values) if values else 0.0


def test_cross_entropy_is_a_mean_of_means():
    logits, labels = drawn()
    labels[1, :4] = 255  # a sample that is mostly padding
    wanted = mean([mean(sample) for sample in losses_by_loop(logits, labels)])
    assert float(cross_entropy(logits, labels)) == pytest.approx(wanted, rel=1e-5)


def test_without_ignored_pixels_it_is_the_usual_one():
    logits, labels = drawn(ignored=0)
    assert cross_entropy(logits, labels).item() == pytest.approx(
        F.cross_entropy(logits, labels.long()).item(), rel=1e-6
    )


@pytest.mark.parametrize("threshold", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_hard_pixels_are_those_of_a_loop(threshold, share):
    logits, labels = drawn(seed=1)
    means = []
    for sample in losses_by_loop(logits, labels):
        ranked = sorted(sample, reverse=True)
        kept = max(1, math.ceil(share * len(ranked) - 1e-6))
        hard = [
            value for place, value in enumerate(ranked)
            if place < kept or value >= -math.log(threshold)
        ]  # fmt: skip
        means.append(mean(hard))
    found = cross_entropy(logits, labels, threshold, share)
    assert float(found) == pytest.approx(mean(means), rel=1e-5)


def test_mining_raises_the_loss_and_silences_easy_pixels():
    logits, labels = drawn(seed=2)
    logits.requires_grad_()
    mined = cross_entropy(logits, labels, 0.5, 0.05)
    assert mined > cross_entropy(logits, labels)
    mined.backward()
    certain = logits.detach().softmax(1).gather(1, labels.long().clamp(max=3)[:, None])[:, 0] > 0.9
    touched = logits.grad.abs().sum(1) > 0
    assert not (touched & certain & (labels != 255)).any()
    assert not touched[labels == 255].any()


@given(st.integers(0, 50), st.sampled_from([1.0, 0.6]))
@settings(max_examples=20, deadline=None)
def test_micro_batches_have_the_loss_of_the_batch(seed, threshold):
    logits, labels = drawn(seed, batch=4)
    for loss in (lambda *pair: cross_entropy(*pair, threshold, 0.2), dice):
        parts = [loss(logits[k : k + 2], labels[k : k + 2]) for k in (0, 2)]
        torch.testing.assert_close(sum(parts) / 2, loss(logits, labels))


@pytest.mark.parametrize("loss", [cross_entropy, lambda *pair: cross_entropy(*pair, 0.7), dice])
def test_a_sample_without_any_label_counts_as_0(loss):
    logits, labels = drawn()
    labels[1] = 255
    logits.requires_grad_()
    found = loss(logits, labels)
    sound = [0, 2]
    torch.testing.assert_close(found, loss(logits[sound], labels[sound]) * 2 / 3)
    found.backward()
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[1].any()
    assert loss(logits[1:2], labels[1:2]) == 0


def test_dice_is_that_of_the_library():
    for seed in range(5):
        logits, labels = drawn(seed, batch=1, classes=3, ignored=0)
        library = smp.losses.DiceLoss("multiclass", from_logits=True)
        torch.testing.assert_close(dice(logits, labels), library(logits, labels.long()))


def test_dice_of_hand_made_probabilities():
    logits = torch.full((1, 3, 1, 4), -60.0)
    labels = torch.tensor([[[0, 0, 1, 255]]]).byte()
    for x, label in enumerate((0, 1, 1, 2)):
        logits[0, label, 0, x] = 60
    # Class 0: 2 * 1 / (1 + 2); class 1: 2 * 1 / (2 + 1); class 2 has no labels.
    assert dice(logits, labels).item() == pytest.approx(1 - 2 / 3)


def test_a_low_precision_is_no_reason_for_a_wrong_loss():
    logits, labels = drawn()
    for loss in (cross_entropy, dice):
        low = loss(logits.bfloat16(), labels)
        assert low.dtype == torch.float32
        torch.testing.assert_close(low, loss(logits.bfloat16().float(), labels))


def test_the_weighted_terms():
    logits, labels = drawn()
    other = logits.flip(1)
    assert list(terms(logits, None, labels, LossConfig(dice=0))) == ["cross_entropy"]
    weights = LossConfig(cross_entropy=0.5, dice=2, auxiliary=0.4)
    found = terms(logits, other, labels, weights)
    assert list(found) == ["cross_entropy", "dice", "auxiliary"]
    torch.testing.assert_close(found["cross_entropy"], 0.5 * cross_entropy(logits, labels))
    torch.testing.assert_close(found["dice"], 2 * dice(logits, labels))
    torch.testing.assert_close(found["auxiliary"], 0.4 * cross_entropy(other, labels))
    mined = terms(logits, None, labels, LossConfig(dice=0, hard_threshold=0.7, hard_share=0.2))
    torch.testing.assert_close(mined["cross_entropy"], cross_entropy(logits, labels, 0.7, 0.2))
