"""From features to distances: in blocks of rows, so that memory stays bounded; query expansion."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.reid.metrics import nearest

ROWS = 256
"""Rows of a block of distances."""


def unit(features: Tensor) -> Tensor:
    """Features (N, C) of length 1."""
    return torch.nn.functional.normalize(features, dim=1)


def distances(query: Tensor, gallery: Tensor, rows: int = ROWS) -> Iterator[NDArray[np.float32]]:
    """Squared Euclidean distances of queries (Q, C) to a gallery (G, C), as blocks (rows, G).

    For features of unit length this is 2 - 2 cosine.
    """
    squares = gallery.square().sum(dim=1)
    for begin in range(0, len(query), rows):
        block = query[begin : begin + rows]
        own = block.square().sum(dim=1, keepdim=True)
        yield torch.addmm(squares + own, block, gallery.T, alpha=-2).clamp_(min=0).numpy()


def expand(
    query: Tensor, gallery: Tensor, count: int, power: float, normalize: bool = True
) -> Tensor:
    """Queries (Q, C) averaged with their `count` nearest gallery features (G, C).

    The query weighs 1, a neighbour its cosine similarity to the given power: 0 is the average
    query expansion of Chum et al. (ICCV 2007), larger is alpha query expansion (Radenovic et al.,
    TPAMI 2018). It looks at no label, so the neighbours may be of the query's own camera.

    All have unit length; without `normalize` the features are taken as they are, and so are their
    averages, to be compared with the gallery as it is.
    """
    if normalize:
        query, gallery = unit(query), unit(gallery)
    expanded = []
    for number, block in enumerate(distances(query, gallery)):
        part = query[number * ROWS : (number + 1) * ROWS]
        neighbours = gallery[torch.from_numpy(nearest(block, min(count, len(gallery))))]
        cosines = torch.cosine_similarity(part[:, None], neighbours, dim=2)
        weights = cosines.clamp(min=0) ** power
        total = part + torch.einsum("qk,qkc->qc", weights, neighbours)
        expanded.append(total / (1 + weights.sum(dim=1, keepdim=True)))
    found = torch.cat(expanded)
    return unit(found) if normalize else found
