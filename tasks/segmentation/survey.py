"""Whether every class occurs in the label maps of a split, looked at before training."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.commands import classes
from common.errors import DamagedFile, UserError
from common.networks.losses import IGNORED
from common.reading.left_out import OnError
from common.training.distributed import note
from tasks.segmentation.config import DataConfig
from tasks.segmentation.data import Split
from tasks.segmentation.labels import UNKNOWN

MOST = 200
"""Label maps that are looked at, evenly spread over the split."""
_THREADS = 4


@dataclass(frozen=True)
class Survey:
    """What some label maps of a split hold."""

    pixels: NDArray[np.int64]
    """(256,) of each class, and under IGNORED and UNKNOWN those that do not count."""
    maps: int
    """Label maps that were looked at."""
    of: int
    """Label maps of the split."""

    def share(self, label: int) -> float:
        """Per cent of the pixels that have a label."""
        return 100 * float(self.pixels[label]) / max(1, int(self.pixels.sum()))

    def where(self) -> str:
        """The label maps in words."""
        looked = f"the {self.maps:,} label maps looked at of " if self.maps < self.of else ""
        return f"{looked}{self.of:,} label maps"


def survey(split: Split, on_error: OnError, most: int = MOST) -> Survey:
    """Count the labels of a split.

    Args:
        split: whose label maps are read.
        on_error: skip leaves out damaged ones.
        most: label maps to look at.

    Raises:
        DamagedFile: a label map is damaged.
        UserError: one is of other classes.
    """

    def count(index: int) -> NDArray[np.int64]:
        try:
            labels = split.reader.marked(split.pairs[index].label)
        except DamagedFile:
            if on_error == "stop":
                raise
            return np.zeros(256, dtype=np.int64)
        return np.bincount(labels.ravel(), minlength=256)

    looked = min(most, len(split))
    chosen = [place * len(split) // looked for place in range(looked)]
    with ThreadPoolExecutor(_THREADS) as threads:
        pixels = sum(threads.map(count, chosen), np.zeros(256, dtype=np.int64))
    return Survey(pixels, looked, len(split))


def require_classes(split: Split, data: DataConfig) -> Survey:
    """Refuse a training split of which one class at most is seen, as the others are ignored.

    Returns:
        what its label maps hold, which `tell_classes` says in a line.

    Raises:
        UserError: training would be on nothing; names the setting that reads the ignored value.
    """
    found = survey(split, data.on_error)
    void = int(found.pixels[IGNORED] + found.pixels[UNKNOWN])
    if void and _occurring(found, data) <= 1 and found.maps < found.of:
        found = survey(split, data.on_error, len(split))
    if void and _occurring(found, data) <= 1:
        raise UserError(
            f"{_absence(found, split, data)}, so there is nothing to tell apart; "
            f"{_advice(found, data)}"
        )
    return found


def tell_classes(split: Split, data: DataConfig, found: Survey | None = None) -> None:
    """Say in a line which classes a split has no pixel of, and what is ignored in it."""
    found = found or survey(split, data.on_error)
    if _occurring(found, data) < len(data.classes):
        note(f"note: {_absence(found, split, data)}")


def _occurring(found: Survey, data: DataConfig) -> int:
    return int(np.count_nonzero(found.pixels[: len(data.classes)]))


def _absence(found: Survey, split: Split, data: DataConfig) -> str:
    absent = classes.absent(found.pixels[: len(data.classes)].tolist(), data.classes)
    text = f"{split.name}: {classes.without(absent, 'pixel')} in {found.where()}"
    if found.pixels[IGNORED]:
        text += f"; {data.ignore_index} is ignored in {found.share(IGNORED):.2g} % of the pixels"
    if found.pixels[UNKNOWN]:
        share = f"{found.share(UNKNOWN):.2g} % of the pixels"
        text += f"; --data.unknown ignore leaves out {share}, of no class"
    return text


def _advice(found: Survey, data: DataConfig) -> str:
    """The settings that read the ignored value as the one class that has no pixel."""
    names = data.classes
    absent = classes.absent(found.pixels[: len(names)].tolist(), names)
    if len(absent) > 1 or not found.pixels[IGNORED] or data.palette:
        return "correct --data.values, --data.palette or --data.ignore_index"
    stored = data.label_values or tuple((label,) for label in range(len(names)))
    values = dict(zip(names, stored, strict=True)) | {absent[0]: (data.ignore_index,)}
    taken = {value for entries in values.values() for value in entries}
    entries = ", ".join(f"{name}: {_shown(values[name])}" for name in names)
    return (
        f"if {data.ignore_index} is {absent[0]}, say --data.values '{{{entries}}}' "
        f"--data.ignore_index {max(set(range(256)) - taken)}"
    )


def _shown(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(values) == 1 else str(list(values))
