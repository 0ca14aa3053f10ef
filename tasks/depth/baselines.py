"""What a guess without looking at the picture scores: the least that a network has to beat."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import plot
from common.errors import DamagedFile
from tasks.depth.data import Split
from tasks.depth.maps import read_depth

CONSTANT = "median depth of the training set"
EACH_ROW = "mean depth of each row of the training set"
EACH_PIXEL = "mean depth map of the training set"

_MOST = 200
"""Training pictures that are looked at, spread evenly."""
_GRID = (48, 64)
"""Height and width in which depth maps of any size are averaged."""


class Baselines(NamedTuple):
    """Guesses that are the same for every picture."""

    constant: float
    """Metres: the median over the pictures of their medians."""
    each_row: NDArray[np.float32]
    """(h, 1) metres: geometric mean of each row's depth."""
    each_pixel: NDArray[np.float32]
    """(h, w) metres: geometric mean of each place's depth."""

    def guesses(self, height: int, width: int) -> dict[str, NDArray[np.float32]]:
        """The guesses of a picture's depth (height, width), by name."""
        size = width, height
        rows, whole = (
            np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_LINEAR), np.float32)
            for one in (self.each_row, self.each_pixel)
        )
        constant = np.full((height, width), self.constant, np.float32)
        return {CONSTANT: constant, EACH_ROW: rows, EACH_PIXEL: whole}


def learn(training: Split) -> Baselines:
    """The guesses of a training split; depth maps that cannot be read do not count.

    Raises:
        DamagedFile: none can.
    """
    sums, counts = np.zeros(_GRID), np.zeros(_GRID)
    medians: list[float] = []
    for index in plot.spread(len(training), _MOST):
        try:
            depth = read_depth(training.items[index].pair.label, training.config)
        except DamagedFile:
            continue  # training stops there, or says that it leaves it out
        small = cv2.resize(depth, _GRID[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        seen = (small > training.config.min_depth) & (small < training.config.max_depth)
        if seen.any():
            medians.append(float(np.median(small[seen])))
            sums[seen] += np.log(small[seen])
            counts += seen
    if not medians:
        raise DamagedFile(f"{training.name}: not one depth map can be read")
    middle = float(np.median(medians))
    rows = sums.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True)
    return Baselines(middle, _mean(*rows, middle), _mean(sums, counts, middle))


def _mean(
    logs: NDArray[np.float64], counts: NDArray[np.float64], middle: float
) -> NDArray[np.float32]:
    """The geometric mean where there is depth, elsewhere the median."""
    mean = np.where(counts > 0, logs / np.maximum(counts, 1), np.log(middle))
    return np.asarray(np.exp(mean), np.float32)
