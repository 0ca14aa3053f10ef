"""What a guess without looking at the picture scores: the least that a network has to beat."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.commands import plot
from common.errors import DamagedFile
from common.reading.windows import nearest
from tasks.panoptic.annotations import Split
from tasks.panoptic.fusion import Map
from tasks.panoptic.loss import IGNORED
from tasks.panoptic.transforms import semantic_map

EVERYWHERE = "commonest stuff everywhere"
EACH_PLACE = "commonest stuff of each place"

_MOST = 200
"""Training pictures that are looked at, spread evenly."""
_GRID = (48, 64)
"""Height and width in which pictures of any size are counted."""


class Guess(NamedTuple):
    """A map that is the same for every picture."""

    ids: Map
    """(H, W), numbers of segments."""
    labels: dict[int, int]
    """Class of each segment, 1 .. C."""


class Baselines(NamedTuple):
    """Guesses of stuff; no thing is ever guessed."""

    kinds: NDArray[np.uint8]
    """(h, w) the commonest class of stuff of each place, from 1 on."""
    commonest: int
    things: int
    """Number of their classes, which come before the stuff."""

    def guesses(self, height: int, width: int) -> dict[str, Guess]:
        """The guesses of a picture's segments, by name."""
        maps = {
            EVERYWHERE: np.full((height, width), self.commonest, np.int32),
            EACH_PLACE: nearest(self.kinds, height, width).astype(np.int32),
        }
        return {
            name: Guess(one, {kind: self.things + kind for kind in np.unique(one).tolist()})
            for name, one in maps.items()
        }


def learn(training: Split) -> Baselines:
    """The guesses of a training split; pictures that cannot be read do not count.

    Raises:
        DamagedFile: none can, or none shows stuff.
    """
    things, stuff = len(training.things), len(training.stuff)
    counts = np.zeros((stuff + 1, *_GRID), np.int64)
    rows, columns = np.indices(_GRID)
    for index in plot.spread(len(training), _MOST):
        try:
            places = training.places(index)
        except DamagedFile:
            continue  # training stops there, or says that it leaves it out
        kinds = semantic_map(places, training.of(index).labels, things)
        small = nearest(kinds, *_GRID)
        seen = (small > 0) & (small != IGNORED)
        counts[small[seen], rows[seen], columns[seen]] += 1
    if not counts.any():
        raise DamagedFile(f"{training.file}: not one picture with stuff can be read")
    commonest = int(counts.sum(axis=(1, 2)).argmax())
    kinds = np.where(counts.any(axis=0), counts.argmax(axis=0), commonest)
    return Baselines(kinds.astype(np.uint8), commonest, things)
