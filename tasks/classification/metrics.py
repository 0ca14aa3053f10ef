"""Accuracy from the ranks of the true classes."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes come before the true one (B,), 0 where it is the first.

    Of equal scores the class of the lower number comes first, so that the order of a sort or the
    device does not matter.

    Args:
        logits: (B, K).
        labels: (B,) numbers of the true classes.
    """
    true = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    return ((logits > true) | ((logits == true) & before)).sum(dim=1)


def accuracy(rank: NDArray[np.int64], k: int) -> float:
    """Share of the pictures (N,) whose true class is among the first k; nan of none."""
    return float(np.mean(rank < k)) if len(rank) else float("nan")


class PerClass(NamedTuple):
    """One number a class (K,)."""

    pictures: NDArray[np.int64]
    correct: NDArray[np.int64]
    """Pictures whose first class is the true one."""
    mistaken_for: NDArray[np.int64]
    """The class that most of the others were taken for; -1 where there are none."""
    mistaken: NDArray[np.int64]
    """How many of them."""


def per_class(labels: NDArray[np.int64], guesses: NDArray[np.int64], classes: int) -> PerClass:
    """Counts by the true class.

    Args:
        labels: (N,) numbers of the true classes.
        guesses: (N,) numbers of the first classes.
        classes: K.
    """
    pictures = np.bincount(labels, minlength=classes)
    right = labels == guesses
    correct = np.bincount(labels[right], minlength=classes)
    mistaken_for, mistaken = np.full(classes, -1), np.zeros(classes, dtype=np.int64)
    # Pairs that occur, not a table of K x K: most of a million cells would be empty.
    pairs, counts = np.unique(
        np.column_stack([labels[~right], guesses[~right]]), axis=0, return_counts=True
    )
    for (label, guess), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        if count > mistaken[label]:
            mistaken_for[label], mistaken[label] = guess, count
    return PerClass(pictures, correct, mistaken_for, mistaken)
