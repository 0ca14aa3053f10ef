"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), in blocks and sparse.

Two pictures that are among each other's nearest are likely of one person. Each picture is encoded
by its reciprocal neighbours, and two pictures differ by the Jaccard distance of these sets of
weights. A dense implementation holds several matrices of (Q + G)^2 numbers; here only blocks of
rows and the few weights that are not zero exist at a time. All is float32; the strong baseline's
code rounds the Jaccard part to float16.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from tasks.reid.metrics import Integers, nearest
from tasks.reid.retrieval import ROWS, distances

Weights: TypeAlias = Any
"""scipy.sparse.csr_array of shape (N, N), which has no types."""


@dataclass(frozen=True)
class _Neighbourhood:
    """What a pass over all distances among N pictures leaves behind."""

    nearest: Integers
    """(N, k1 + 1) nearest pictures, as a rule itself first."""
    largest: NDArray[np.float32]
    """(N,) largest distance of each picture, by which its distances are divided."""


def rerank(
    query: Tensor, gallery: Tensor, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Iterator[NDArray[np.float32]]:
    """Re-ranked distances of queries (Q, C) to a gallery (G, C), as blocks (rows, G).

    Args:
        query: features.
        gallery: features.
        k1: neighbours among which reciprocal ones are sought.
        k2: neighbours over which the encoding is averaged; at most k1 + 1.
        weight: of the plain distance; the Jaccard distance has the rest.
    """
    everything = torch.cat([query, gallery])
    near = _neighbourhood(everything, min(k1 + 1, len(everything)))
    encoded = _encode(everything, near, k1)
    if k2 > 1:
        first = near.nearest[:, : min(k2, near.nearest.shape[1])]
        encoded = _indicator(first, np.ones_like(first, dtype=bool)) @ encoded / first.shape[1]
    encoded.sum_duplicates()
    columns = encoded.tocsc()
    begin = 0
    for plain in distances(query, everything):
        plain /= near.largest[begin : begin + len(plain), None]
        overlap = np.stack([_overlap(encoded, columns, begin + row) for row in range(len(plain))])
        jaccard = 1 - overlap / (2 - overlap)
        yield (jaccard * (1 - weight) + plain * weight)[:, len(query) :].astype(np.float32)
        begin += len(plain)


def _neighbourhood(features: Tensor, count: int) -> _Neighbourhood:
    near, largest = [], []
    for block in distances(features, features):
        top = block.max(axis=1)
        # Pictures that are all alike have no distance to divide by.
        largest.append(np.where(top > 0, top, 1).astype(np.float32))
        near.append(nearest(block / largest[-1][:, None], count))
    return _Neighbourhood(np.concatenate(near), np.concatenate(largest))


def _encode(features: Tensor, near: _Neighbourhood, k1: int) -> Weights:
    """(N, N) weights exp(-distance) over each picture's reciprocal neighbours, of sum 1."""
    reciprocal = _reciprocal(near.nearest)
    # Half of k1 is rounded to the even number, as numpy's around does.
    half = _reciprocal(near.nearest[:, : round(k1 / 2) + 1])
    # A neighbour's own neighbours join if more than two thirds of them are neighbours already.
    joining = (reciprocal @ half.T).multiply(reciprocal).tocsr()
    sizes = np.diff(half.indptr)
    joining.data = (joining.data > 2 / 3 * sizes[joining.indices]).astype(np.int32)
    expanded = (reciprocal + joining @ half).tocoo()
    there = expanded.data > 0
    rows, columns = expanded.coords[0][there], expanded.coords[1][there]
    weights = np.exp(-_pair_distances(features, rows, columns) / near.largest[rows])
    sums = np.bincount(rows, weights, len(features))
    values = (weights / sums[rows]).astype(np.float32)
    return sparse.csr_array((values, (rows, columns)), shape=expanded.shape)


def _reciprocal(near: Integers) -> Weights:
    """(N, N) ones where each is among the other's nearest."""
    size = len(near)
    mutual = np.concatenate(
        [
            (near[near[begin : begin + ROWS]] == _rows(begin, size)[:, None, None]).any(axis=2)
            for begin in range(0, size, ROWS)
        ]
    )
    return _indicator(near, mutual)


def _rows(begin: int, size: int) -> Integers:
    return np.arange(begin, min(begin + ROWS, size))


def _indicator(columns: Integers, chosen: NDArray[np.bool_]) -> Weights:
    """(N, N) ones at the chosen of each row's columns (N, K)."""
    rows = np.nonzero(chosen)[0]
    ones = np.ones(len(rows), dtype=np.int32)
    return sparse.csr_array((ones, (rows, columns[chosen])), shape=(len(columns), len(columns)))


def _pair_distances(features: Tensor, rows: Integers, columns: Integers) -> NDArray[np.float32]:
    """Squared Euclidean distances of the pairs (rows[i], columns[i])."""
    pairs = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    parts = [
        (features[first] - features[second]).square().sum(dim=1)
        for first, second in (
            pairs[:, begin : begin + 8 * ROWS] for begin in range(0, len(rows), 8 * ROWS)
        )
    ]
    return torch.cat(parts).numpy()


def _overlap(encoded: Weights, columns: sparse.csc_array, row: int) -> NDArray[np.float64]:
    """(N,) sum over all neighbours of the smaller of the two weights that `row` and others give."""
    begin, end = encoded.indptr[row : row + 2]
    neighbours = encoded.indices[begin:end]
    starts, ends = columns.indptr[neighbours], columns.indptr[neighbours + 1]
    lengths = ends - starts
    # The places of all entries in the columns of this row's neighbours, one column after another.
    places = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    smaller: NDArray[np.float64] = np.minimum(
        columns.data[places], np.repeat(encoded.data[begin:end], lengths)
    )
    total = np.bincount(columns.indices[places], smaller, encoded.shape[0])
    return total.astype(np.float64, copy=False)
