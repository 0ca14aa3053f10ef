"""``python -m tasks.interactive.check --data.root X``: look at all of a data set before training.

Reads every picture and mask of both splits as training does, and writes OUT/check/index.html with
what it found. It takes the flags of train. Exit status 1: training would stop.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import Finding, Remark
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.interactive.config import Config
from tasks.interactive.data import Split, Whole, read
from tasks.interactive.draw import overlay
from tasks.interactive.masks import Truth

_FEW = 100
"""Pixels; smaller objects are noted."""
_MOST = 0.95
"""Share of a picture; larger objects are noted."""


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, split), config.data

    numbers = defaultdict(list)
    for number, item in enumerate(found.items):
        numbers[item.image].append(number)
    files = found.files
    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(file) for file in files],
        kind=image.PICTURES,
        unit="objects",
        classes=("object",),
        content=lambda index: image.content(files[index]),
        header=partial(header, data.orientation),
        look=lambda index: _look([found.read(one).truth for one in numbers[files[index]]]),
        draw=lambda index: _draw([found.read(one) for one in numbers[files[index]]]),
        samples=lambda: len(found),
        advice=lambda sizes: [advice.short_side(sizes, "--data.short_side", data.short_side)],
        findings=_small(found),
    )


def _draw(wholes: Sequence[Whole]) -> image.Picture:
    """A picture with all of its objects."""
    whole = np.logical_or.reduce([one.truth.mask for one in wholes])
    return overlay(wholes[0].image, whole, ())


def _small(split: Split) -> tuple[Finding, ...]:
    if not split.without:
        return ()
    text = f"{split.without:,} objects are smaller than --data.least_area {split.config.least_area}"
    return (Finding("note", split.name, "small objects", text, "they are not trained on"),)


def _look(truths: Sequence[Truth]) -> Look:
    """How large the objects of a picture are."""
    areas = [int(truth.mask.sum()) for truth in truths]
    shares = [area / truth.mask.size for area, truth in zip(areas, truths, strict=True)]
    remarks = []
    if min(areas) < _FEW:
        mend = "say --data.least_area to leave such objects out of training"
        text = f"down to {min(areas)} pixels"
        remarks.append(Remark("note", "objects of very few pixels", text, mend))
    if max(shares) > _MOST:
        text = f"{max(shares):.1%} of the picture"
        mend = "is the mask inverted?"
        remarks.append(Remark("warning", "objects that fill a picture", text, mend))
    return Look(
        measures={"smallest share": min(shares), "largest share": max(shares)},
        counts={"object": len(truths)},
        remarks=tuple(remarks),
    )


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check("interactive", config, data.on_error, parts)
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
