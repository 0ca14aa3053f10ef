"""What a threshold on HU alone scores: the least that a network has to beat."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.commands import plot
from common.errors import DamagedFile
from tasks.volumes.data import Split
from tasks.volumes.metrics import Regions, mask_of
from tasks.volumes.volume import Labels, Values

NAME = "best HU interval of the training set"

_MOST = 50
"""Training cases that are looked at, spread evenly."""
_LEAST, _GREATEST, _STEP = -1000, 2000, 10


class Interval(NamedTuple):
    """HU from the first to below the second, of the scan averaged over 3x3x3 voxels."""

    low: float
    high: float


def learn(training: Split, wanted: Regions) -> dict[str, Interval]:
    """The interval of each region with the best Dice over the training cases' voxels together.

    Cases that cannot be read do not count.

    Raises:
        DamagedFile: none can.
    """
    edges = np.arange(_LEAST, _GREATEST + _STEP, _STEP)
    every = np.zeros(len(edges) - 1, np.int64)
    inside = {name: every.copy() for name in wanted}
    read = 0
    for index in plot.spread(len(training), _MOST):
        try:
            volume, labels = training.read(index)
        except DamagedFile:
            continue  # training stops there, or says that it leaves it out
        read += 1
        smooth = smoothed(volume.values)
        every += np.histogram(smooth, edges)[0]
        for name, numbers in wanted.items():
            inside[name] += np.histogram(smooth[mask_of(labels, numbers)], edges)[0]
    if not read:
        raise DamagedFile(f"{training.name}: not one case can be read")
    return {name: _best(counts, every, edges) for name, counts in inside.items()}


def smoothed(values: Values) -> NDArray[np.float32]:
    """HU averaged over 3x3x3 voxels, clipped to the intervals' range."""
    clipped = np.clip(values, _LEAST, _GREATEST - 1).astype(np.float32)
    return np.asarray(ndimage.uniform_filter(clipped, 3, mode="nearest"), np.float32)


def _best(
    inside: NDArray[np.int64], every: NDArray[np.int64], edges: NDArray[np.int64]
) -> Interval:
    """Of all intervals the one whose Dice with the region is greatest."""
    hits, taken = (np.concatenate([[0], np.cumsum(one)]) for one in (inside, every))
    common = hits[None] - hits[:, None]  # from the row's edge to the column's
    both = taken[None] - taken[:, None] + hits[-1]
    dice = np.where(np.triu(np.ones_like(common), 1) > 0, 2 * common / np.maximum(both, 1), -1)
    low, high = np.unravel_index(int(dice.argmax()), dice.shape)
    return Interval(float(edges[low]), float(edges[high]))


def dice(
    values: Values, truth: Labels, wanted: Regions, intervals: Mapping[str, Interval]
) -> dict[str, float]:
    """Dice of the intervals in one case, by region; NaN where there is neither."""
    smooth, found = smoothed(values), {}
    for name, numbers in wanted.items():
        mask = mask_of(truth, numbers)
        guess = (smooth >= intervals[name].low) & (smooth < intervals[name].high)
        both = int(mask.sum() + guess.sum())
        found[name] = 2 * int((mask & guess).sum()) / both if both else float("nan")
    return found
