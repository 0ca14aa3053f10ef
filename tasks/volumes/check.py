"""``python -m tasks.volumes.check --data.root X``: look at all of a data set before training.

Reads every scan and its labels as training does, and writes OUT/check/index.html with what it
found. It takes the flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np

from common.check.check import check, two_splits
from common.check.examined import Content, Examined, Look
from common.check.findings import Remark
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.volumes.config import Config
from tasks.volumes.data import Split, read, with_classes
from tasks.volumes.draw import compared
from tasks.volumes.nifti import VOLUMES

_NARROW = 100
"""HU between the least and the greatest value below which a scan cannot be in HU."""


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    config = with_classes(config)
    found = read(config, split)

    def draw(index: int) -> image.Picture:
        volume, labels = found.read(index)
        return compared(volume, labels, labels, config)[0]

    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(file) for file in found.files],
        kind=VOLUMES,
        unit="voxels",
        classes=found.classes,
        content=lambda index: image.content(found.files[index]),
        header=_header,
        look=partial(_look, found),
        draw=draw,
        samples=lambda: len(found) * config.data.crops_per_case,
    )


def _header(_: Content) -> Look:
    """Nothing: what a header says is known when the scan was read."""
    return Look()


def _look(split: Split, index: int) -> Look:
    """Voxels of each class, spacing, orientation as stored, and values that are no HU."""
    volume, labels = split.read(index)
    counts = np.bincount(labels.ravel(), minlength=len(split.classes))
    least, greatest = int(volume.values.min()), int(volume.values.max())
    remarks = []
    if greatest - least < _NARROW:
        detail = f"values from {least} to {greatest}"
        mend = "scans must be in Hounsfield units, not scaled or masked"
        remarks.append(Remark("warning", "volumes are hardly in HU", detail, mend))
    if not counts[1:].any():
        mend = "a case with background only teaches little; is it labelled?"
        remarks.append(Remark("note", "volumes have no label", split.cases[index].name, mend))
    names = ("between slices", "between rows", "between columns")
    spacing = {f"mm {name}": one for name, one in zip(names, volume.spacing, strict=True)}
    return Look(
        measures={"slices": float(len(labels)), **spacing, "least HU": float(least),
                  "greatest HU": float(greatest)},
        attributes={"orientation": _orientation(volume.grid.affine)},
        counts={name: int(count) for name, count in zip(split.classes, counts, strict=True)},
        remarks=tuple(remarks),
    )  # fmt: skip


def _orientation(affine: np.ndarray) -> str:
    """Where the stored axes go, as NIfTI's users write it: RAS, LPS."""
    letters = []
    for axis in range(3):
        column = affine[:3, axis]
        world = int(np.abs(column).argmax())
        names = {0: "LR", 1: "PA", 2: "IS"}[world]
        letters.append(names[int(column[world] > 0)])
    return "".join(letters)


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check("volumes", config, data.on_error, parts)
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
