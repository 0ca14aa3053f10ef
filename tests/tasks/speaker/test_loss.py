import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.speaker.config import LossConfig
from tasks.speaker.loss import margin_and_scale, margin_loss


def slow_loss(cosines, labels, config, margin, scale):
    """The definition, one sample and one speaker after the other."""
    total = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        logits = [scale * cosine for cosine in row]
        if config.name == "am":
            logits[label] = scale * (row[label] - margin)
        else:
            angle = math.acos(row[label])
            if angle + margin < math.pi:
                logits[label] = scale * math.cos(angle + margin)
            else:
                logits[label] = scale * (row[label] - (1 + math.cos(math.pi - margin)))
        highest = max(logits)
        total += highest + math.log(sum(math.exp(z - highest) for z in logits)) - logits[label]
    return total / len(labels)


@settings(deadline=None)
@given(st.sampled_from(["aam", "am"]), st.floats(0, 0.6), st.floats(1, 64), st.integers(0, 10**6))
def test_the_definition(name, margin, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(4, 5, generator=generator, dtype=torch.float64) * 1.98 - 0.99
    labels = torch.randint(0, 5, (4,), generator=generator)
    config = LossConfig(name=name, margin=margin, scale=scale, ramp=(0, 0))
    expected = slow_loss(cosines, labels, config, margin, scale)
    assert margin_loss(cosines, labels, config, 0.0).item() == pytest.approx(expected, abs=1e-5)


def test_without_margin_both_are_plain_softmax():
    cosines, labels = torch.randn(6, 4).tanh(), torch.arange(6) % 4
    plain = torch.nn.functional.cross_entropy(30 * cosines, labels)
    for name in ("aam", "am"):
        config = LossConfig(name=name, margin=0, scale=30)
        assert torch.allclose(margin_loss(cosines, labels, config, 0), plain, atol=1e-4)


def test_a_margin_makes_it_harder_and_never_easier_with_the_angle():
    angles = torch.linspace(0.01, math.pi - 0.01, 500, dtype=torch.float64)
    cosines = torch.stack((angles.cos(), torch.zeros_like(angles)), dim=1)
    config = LossConfig(margin=0.3, scale=1, ramp=(0, 0))
    losses = torch.stack([margin_loss(row[None], torch.tensor([0]), config, 0) for row in cosines])
    assert (losses.diff() > 0).all()
    assert losses.diff().max() < 0.01, "no step where the branches meet"


def test_gradients_are_finite_at_the_ends():
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    margin_loss(cosines, torch.tensor([0, 0]), LossConfig(margin=0.2, ramp=(0, 0)), 0).backward()
    assert torch.isfinite(cosines.grad).all()


def test_schedules():
    config = LossConfig(margin=0.2, ramp=(20, 40), scale=32, initial_scale=16)
    assert margin_and_scale(config, 0) == (0, 16)
    assert margin_and_scale(config, 19.99) == (0, 16)
    assert margin_and_scale(config, 40) == (0.2, 32)
    assert margin_and_scale(config, 140) == (0.2, 32)
    # WeSpeaker: what is left at a quarter of the way is 1e-3 ** 0.25.
    margin, scale = margin_and_scale(config, 25)
    assert margin == pytest.approx(0.2 * (1 - 1e-3**0.25))
    assert scale == pytest.approx(32 - 16 * 1e-3**0.25)
    linear = LossConfig(margin=0.3, initial_margin=0.1, scale=32, ramp=(2, 6), ramp_shape="linear")
    assert margin_and_scale(linear, 3)[0] == pytest.approx(0.15)
    assert margin_and_scale(linear, 3)[1] == 32


def test_without_a_ramp_the_final_values_hold_from_the_start():
    assert margin_and_scale(LossConfig(margin=0.5, scale=32, ramp=(0, 0)), 0) == (0.5, 32)


def test_the_loss_follows_the_schedule():
    cosines, labels = torch.randn(6, 4).tanh(), torch.arange(6) % 4
    config = LossConfig(margin=0.5, ramp=(1, 2))
    early, late = (margin_loss(cosines, labels, config, epoch) for epoch in (0.5, 2.5))
    assert late > early
