"""Each loss against its definition, written as loops, and the centers against their optimizer."""

import math

import pytest
import torch
from torch import nn

from tasks.reid.config import LossConfig
from tasks.reid.loss import (
    center_loss,
    center_step,
    circle_loss,
    identity_loss,
    terms,
    triplet_loss,
)


@pytest.fixture
def features():
    return torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


LABELS = torch.tensor([0, 0, 0, 3, 3, 3, 1, 1, 1, 7, 7, 7])


def test_identity_loss_is_the_smoothed_cross_entropy():
    logits = torch.randn(12, 9, generator=torch.Generator().manual_seed(1))
    total = 0.0
    for row, label in zip(logits.double(), LABELS.tolist(), strict=True):
        log_probabilities = row - row.exp().sum().log()
        for person in range(9):
            target = 0.9 * (person == label) + 0.1 / 9
            total -= target * float(log_probabilities[person]) / 12
    assert float(identity_loss(logits, LABELS, 0.1)) == pytest.approx(total, rel=1e-5)


def test_triplet_loss_is_batch_hard(features):
    rows, labels = features.detach().double().tolist(), LABELS.tolist()
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        to = [(math.dist(row, other), kind) for other, kind in zip(rows, labels, strict=True)]
        farthest = max(distance for distance, kind in to if kind == label)
        nearest = min(distance for distance, kind in to if kind != label)
        total += max(0.0, farthest - nearest + 0.3) / 12
    assert float(triplet_loss(features, LABELS, 0.3).detach()) == pytest.approx(total, rel=1e-5)


def test_triplet_loss_pulls_and_pushes_the_hardest(features):
    triplet_loss(features, LABELS, 0.3).backward()
    numeric = torch.zeros(12, 5, dtype=torch.float64)
    base = features.detach().double()
    for row in range(12):
        for column in range(5):
            changed = [base.clone(), base.clone()]
            changed[0][row, column] += 1e-6
            changed[1][row, column] -= 1e-6
            up, down = (float(triplet_loss(one, LABELS, 0.3)) for one in changed)
            numeric[row, column] = (up - down) / 2e-6
    torch.testing.assert_close(features.grad.double(), numeric, atol=1e-4, rtol=1e-3)


def test_equal_features_have_finite_gradients():
    for loss in (
        lambda f: triplet_loss(f, LABELS, 0.3),
        lambda f: circle_loss(f, LABELS, 0.25, 128),
    ):
        same = torch.ones(12, 5).requires_grad_()
        loss(same).backward()
        assert torch.isfinite(same.grad).all()


def test_circle_loss_is_equation_6(features):
    """With the weights of equation 5, held constant."""
    margin, scale = 0.25, 16.0
    unit = nn.functional.normalize(features.detach().double(), dim=1)
    total = 0.0
    for row, label in enumerate(LABELS.tolist()):
        positive = negative = 0.0
        for other, kind in enumerate(LABELS.tolist()):
            similarity = float(unit[row] @ unit[other])
            if kind != label:
                weight = max(0.0, similarity + margin)
                negative += math.exp(scale * weight * (similarity - margin))
            elif other != row:
                weight = max(0.0, 1 + margin - similarity)
                positive += math.exp(-scale * weight * (similarity - 1 + margin))
        total += math.log(1 + positive * negative) / 12
    assert float(circle_loss(features, LABELS, margin, scale).detach()) == pytest.approx(
        total, rel=1e-5
    )


@pytest.mark.parametrize("labels", [torch.zeros(12, dtype=torch.long), torch.arange(12)])
def test_a_batch_without_pairs_costs_nothing_and_does_not_break(features, labels):
    """Pictures that replace damaged ones may leave a person alone."""
    for loss in (circle_loss(features, labels, 0.25, 128), triplet_loss(features, labels, 0.3)):
        features.grad = None
        loss.backward(retain_graph=True)
        assert torch.isfinite(loss)
        assert torch.isfinite(features.grad).all()
    assert float(circle_loss(features, labels, 0.25, 128).detach()) == 0


class PublishedCenters(nn.Module):
    """The center loss as a module with learnt centers, as the strong baseline has it."""

    def __init__(self, centers):
        super().__init__()
        self.centers = nn.Parameter(centers.clone())

    def forward(self, features, labels):
        squares = torch.cdist(features, self.centers) ** 2
        own = torch.stack([squares[row, label] for row, label in enumerate(labels.tolist())])
        return own.clamp(min=1e-12, max=1e12).mean()


@pytest.mark.parametrize("weight", [0.0005, 0.1])
def test_centers_move_as_under_their_own_optimizer(weight):
    """Weighted loss, one backward pass, their gradients divided by the weight, SGD at 0.5."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    published, own = PublishedCenters(start), start.clone()
    optimizer = torch.optim.SGD(published.parameters(), lr=0.5)
    for _ in range(10):
        values = torch.randn(12, 5, generator=generator, dtype=torch.float64)
        one, two = values.clone().requires_grad_(), values.clone().requires_grad_()
        optimizer.zero_grad()
        (weight * published(one, LABELS)).backward()
        published.centers.grad *= 1 / weight
        optimizer.step()
        loss = weight * center_loss(two, LABELS, own)
        loss.backward()
        own += center_step(two.detach(), LABELS, own, rate=0.5)
        torch.testing.assert_close(two.grad, one.grad)
        torch.testing.assert_close(own, published.centers.detach())
    assert torch.equal(own[[2, 4, 5, 6, 8]], start[[2, 4, 5, 6, 8]]), "these were not in the batch"


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (1, 2), (2, 2)])
def test_parts_of_a_batch_move_the_centers_as_the_whole(ranks, accumulate):
    """Ranks average their steps, micro-batches follow each other; whole persons are in each."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    features = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    whole = start + center_step(features, LABELS, start, 0.5)
    centers = start.clone()
    size = 12 // (ranks * accumulate)
    for micro in range(accumulate):
        firsts = [(rank * accumulate + micro) * size for rank in range(ranks)]
        steps = [
            center_step(features[f : f + size], LABELS[f : f + size], centers, 0.5) for f in firsts
        ]
        centers += torch.stack(steps).mean(dim=0) / accumulate
    torch.testing.assert_close(centers, whole)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (LossConfig(), ["identity", "triplet"]),
        (LossConfig(pairs="circle"), ["identity", "circle"]),
        (LossConfig(pairs="none"), ["identity"]),
        (LossConfig(center_weight=0.0005), ["identity", "triplet", "center"]),
    ],
)
def test_the_terms_are_those_of_the_config(features, config, names):
    logits, centers = torch.randn(12, 9), torch.randn(9, 5)
    found = terms(features, logits, LABELS, centers if config.center_weight else None, config)
    assert list(found) == names
    if "center" in found:
        expected = 0.0005 * center_loss(features, LABELS, centers)
        torch.testing.assert_close(found["center"], expected)
