"""A robot without a network: a disc around each click, the least that a network has to beat."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.commands import plot
from common.errors import DamagedFile
from tasks.interactive.data import Split
from tasks.interactive.objects import read
from tasks.interactive.robot import Mask

NAME = "disc around each click"
_MOST = 300
"""Training objects that are looked at, spread evenly."""


class Discs:
    """Answers clicks by discs: a pixel has the sign of its nearest click, if that is near enough.

    Args:
        height: of the picture, in pixels.
        width: of it.
        squared_radius: squared pixels from a positive click within which the object is.
    """

    def __init__(self, height: int, width: int, squared_radius: float) -> None:
        self.squared_radius = squared_radius
        self.rows, self.columns = np.mgrid[:height, :width]
        self.least = np.full((height, width), np.inf)
        self.mask: Mask = np.zeros((height, width), bool)

    def click(self, x: int, y: int, positive: bool = True) -> Mask:
        """The mask (H, W) after one more click; of equally near clicks the earlier one counts."""
        squared = (self.rows - y) ** 2 + (self.columns - x) ** 2
        nearer = squared < self.least
        self.least = np.where(nearer, squared, self.least)
        near = squared <= self.squared_radius
        self.mask = np.where(nearer, near if positive else False, self.mask)
        return self.mask


def mean_radius(areas: Sequence[int] | NDArray[np.int64]) -> float:
    """The mean radius of discs of so many pixels each."""
    return float(np.sqrt(np.asarray(areas, np.float64) / np.pi).mean())


def learn(training: Split) -> float:
    """The mean radius of a training split's objects; those that cannot be read do not count.

    Raises:
        DamagedFile: none can.
    """
    areas = []
    for index in plot.spread(len(training), _MOST):
        item = training.items[index]
        try:
            areas.append(item.area or int(read(item, training.config).mask.sum()))
        except DamagedFile:
            continue  # training stops there, or says that it leaves it out
    if not areas:
        raise DamagedFile(f"{training.name}: not one object can be read")
    return mean_radius(areas)
