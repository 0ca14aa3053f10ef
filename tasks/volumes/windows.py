"""Slices through overlapping windows, where they are larger than what the network should see."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.volumes.config import ScoringConfig


def in_windows(network: nn.Module, batch: Tensor, test: ScoringConfig) -> Tensor:
    """Probabilities (B, C, H, W) of stacks, from overlapping windows if --test.window says so."""
    height, width = batch.shape[-2:]
    if test.window is None or (height <= test.window[0] and width <= test.window[1]):
        return _probabilities(network, batch)
    rows, columns = min(test.window[0], height), min(test.window[1], width)
    weight = torch.from_numpy(gaussian(rows)[:, None] * gaussian(columns)[None]).to(batch.device)
    total: Tensor | None = None
    weights = torch.zeros((height, width), device=batch.device)
    for top in starts(height, rows, test.overlap):
        for left in starts(width, columns, test.overlap):
            here = (..., slice(top, top + rows), slice(left, left + columns))
            found = _probabilities(network, batch[here]) * weight
            if total is None:
                total = found.new_zeros((*found.shape[:2], height, width))
            total[here] += found
            weights[here] += weight
    assert total is not None
    return total / weights


def _probabilities(network: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = network(batch).main.float().softmax(1)
    return found


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin that cover a length: evenly spread, at least `overlap` in common."""
    count = math.ceil((length - window) / (window * (1 - overlap))) + 1 if length > window else 1
    return [round(one) for one in np.linspace(0, length - window, count).tolist()]


def gaussian(length: int) -> NDArray[np.float32]:
    """Weights (length,) of a window's places: 1 in its middle, deviation an eighth of it."""
    places = (np.arange(length) - length // 2) / (length / 8)
    return np.exp(-0.5 * places**2).astype(np.float32)
