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
EACH_PIXEL = "mean depth map of the training set"

_MOST = 200
"""Training pictures that are looked at, spread evenly."""
_GRID = (48, 64)
"""Height and width in which depth maps of any size are averaged."""


class Baselines(NamedTuple):
    """Guesses that are the same for every picture."""

    constant: float
    """Metres: the median over the pictures of their medians."""
    each_pixel: NDArray[np.float32]
    """(h, w) metres: geometric mean of each place's depth."""

    def guesses(self, height: int, width: int) -> dict[str, NDArray[np.float32]]:
        """The guesses of a picture's depth (height, width), by name."""
        whole = cv2.resize(self.each_pixel, (width, height), interpolation=cv2.INTER_LINEAR)
        constant = np.full((height, width), self.constant, np.float32)
        return {CONSTANT: constant, EACH_PIXEL: np.asarray(whole, np.float32)}


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
    logs = np.where(counts > 0, sums / np.maximum(counts, 1), np.log(middle))
    return Baselines(middle, np.exp(logs).astype(np.float32))
