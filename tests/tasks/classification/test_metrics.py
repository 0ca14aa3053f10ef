"""Ranks and accuracies beside sorting and loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.classification.metrics import accuracy, per_class, ranks


@st.composite
def scored(draw):
    """Logits with many ties, and labels."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 8)))
    logits = draw(arrays.arrays(np.float32, shape, elements=st.integers(-2, 2)))
    labels = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    return logits, labels


@given(scored())
def test_ranks_are_places_in_a_stable_sort(data):
    logits, labels = data
    found = ranks(torch.from_numpy(logits), torch.from_numpy(labels)).tolist()
    for row, label, rank in zip(logits, labels, found, strict=True):
        order = np.argsort(-row, kind="stable").tolist()
        assert order.index(label) == rank


@given(scored(), st.integers(1, 8))
def test_accuracy_is_the_share_within_the_best_k(data, k):
    logits, labels = data
    found = accuracy(ranks(torch.from_numpy(logits), torch.from_numpy(labels)).numpy(), k)
    hits = [
        label in np.argsort(-row, kind="stable")[:k]
        for row, label in zip(logits, labels, strict=True)
    ]
    assert found == pytest.approx(np.mean(hits))


def test_golden_accuracies():
    logits = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.3, 0.3, 0.3]])
    rank = ranks(logits, torch.tensor([1, 2, 2]))
    assert rank.tolist() == [0, 2, 2]
    assert accuracy(rank.numpy(), 1) == pytest.approx(1 / 3)
    assert accuracy(rank.numpy(), 5) == 1
    assert np.isnan(accuracy(np.array([], dtype=np.int64), 1))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40),
)
def test_counts_by_class_beside_a_loop(pairs):
    labels = np.array([label for label, _ in pairs], dtype=np.int64)
    guesses = np.array([guess for _, guess in pairs], dtype=np.int64)
    found = per_class(labels, guesses, 6)
    for number in range(6):
        mine = [guess for label, guess in pairs if label == number]
        wrong = [guess for guess in mine if guess != number]
        assert found.pictures[number] == len(mine)
        assert found.correct[number] == len(mine) - len(wrong)
        if not wrong:
            assert (found.mistaken_for[number], found.mistaken[number]) == (-1, 0)
        else:
            most = max(wrong.count(guess) for guess in wrong)
            assert found.mistaken[number] == most
            assert wrong.count(found.mistaken_for[number]) == most
