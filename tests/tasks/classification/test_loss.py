import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.classification.loss import cross_entropy


@given(st.integers(1, 6), st.integers(2, 7), st.floats(0, 0.9), st.integers(0, 1000))
def test_smoothed_targets_by_hand(batch, classes, smoothing, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator)
    labels = torch.randint(classes, (batch,), generator=generator)
    total = 0.0
    for row, label in zip(logits.double(), labels.tolist(), strict=True):
        log_probabilities = row - torch.logsumexp(row, dim=0)
        for number in range(classes):
            weight = smoothing / classes + (1 - smoothing) * (number == label)
            total -= weight * log_probabilities[number].item()
    assert cross_entropy(logits, labels, smoothing).item() == pytest.approx(total / batch, rel=1e-4)


def test_distributions_are_taken_as_they_are():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    soft = torch.softmax(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    expected = -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert cross_entropy(logits, soft, smoothing=0.5) == pytest.approx(expected.item())
    hot = torch.eye(4)[:3]
    assert cross_entropy(logits, hot).item() == pytest.approx(
        cross_entropy(logits, torch.arange(3)).item()
    )


def test_half_precision_scores_give_a_loss_in_full():
    logits = torch.randn(2, 5).bfloat16()
    assert cross_entropy(logits, torch.tensor([0, 1]), 0.1).dtype == torch.float32
