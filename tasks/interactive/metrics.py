"""How many clicks it takes: NoC, failures, and the mean overlap after each click.

Overlaps are (N, K): of each object the intersection over union after each of K clicks.
"""

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (80, 85, 90)
"""Percent of overlap that count as good enough."""

NAMES = ("NoC80", "NoC85", "NoC90", "failures85", "failures90")

Overlaps = NDArray[np.floating]


def clicks_needed(overlaps: Overlaps, threshold: float) -> NDArray[np.int64]:
    """The first click (N,) after which an object's overlap is high enough, else all K."""
    reached = overlaps >= threshold
    needed = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, overlaps.shape[1])
    return np.asarray(needed, np.int64)


def failures(overlaps: Overlaps, threshold: float) -> NDArray[np.bool_]:
    """Objects (N,) whose overlap is never high enough."""
    return np.asarray((overlaps < threshold).all(axis=1))


def summary(overlaps: Overlaps) -> dict[str, float]:
    """The scores by name: means over at least one object; failures are shares."""
    needed = {
        f"NoC{percent}": float(clicks_needed(overlaps, percent / 100).mean())
        for percent in THRESHOLDS
    }
    failed = {
        f"failures{percent}": float(failures(overlaps, percent / 100).mean())
        for percent in THRESHOLDS[1:]
    }
    return {**needed, **failed}


def curve(overlaps: Overlaps) -> list[float]:
    """The mean overlap (K,) of all objects after each click."""
    means: list[float] = overlaps.mean(axis=0).tolist()
    return means
