"""Scores of label maps, beside those of `common.commands.confusion`: pure functions of arrays."""

import numpy as np

from common.commands.confusion import Counts, mean_scores


def constant_scores(counts: Counts) -> dict[str, float]:
    """`mean_scores` of an answer that says the most frequent class everywhere."""
    true = counts.sum(axis=1)
    answer = np.zeros_like(counts)
    answer[:, true.argmax()] = true
    return mean_scores(answer)
