"""``python -m tasks.panoptic.check --data.root X``: look at all of a data set before training.

Reads every picture and PNG of both splits as training does, and writes OUT/check/index.html with
what it found. It takes the flags of train. Exit status 1: training would stop.
"""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import Remark, unused
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.panoptic.annotations import Segments, Split
from tasks.panoptic.config import Config
from tasks.panoptic.data import TrainSet, read, read_picture_of
from tasks.panoptic.report import annotated

Pixels = NDArray[np.int64]

_CROWDS = "(crowds)"
_MUCH_VOID = 0.5
"""Share of unlabelled pixels from which on a note says so."""


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, split), config.data
    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(file) for file in found.files],
        kind=image.PICTURES,
        unit="segments",
        classes=found.classes,
        content=lambda index: image.content(found.files[index]),
        header=partial(header, data.orientation),
        look=partial(_look, found, config),
        draw=lambda index: annotated(found, index, read_picture_of(found, index, data)),
        samples=lambda: len(TrainSet(found, data)),
        advice=lambda sizes: [
            advice.short_side(sizes, "--data.short_sides", max(data.short_sides))
        ],
        findings=unused(split, found.dropped),
    )


def _look(split: Split, config: Config, index: int) -> Look:
    """Segments of each class, areas that are not those of the PNG, unfit stuff, much void."""
    read_picture_of(split, index, config.data)
    places, segments = split.places(index), split.of(index)
    counted = segments.labels > 0
    counts = Counter(
        _CROWDS if crowd else split.classes[label - 1]
        for label, crowd in zip(segments.labels[counted], segments.crowd[counted], strict=True)
    )
    pixels = np.bincount(places.ravel(), minlength=len(segments) + 1)
    void, pixels = float(pixels[0] / places.size), pixels[1:]
    remarks = []
    stated = counted & (segments.areas >= 0)
    apart = np.flatnonzero(stated & (segments.areas != pixels))
    if apart.size:
        row = int(apart[0])
        detail = (
            f"segment {segments.ids[row]} has {pixels[row]:,} pixels in the PNG and the 'area' "
            f"{segments.areas[row]:,}"
        )
        mend = "PQ counts with the areas of the annotation file: correct them, or leave them out"
        remarks.append(Remark("warning", "maps have areas that are not annotated so", detail, mend))
    remarks += _stuff(split, segments, pixels, config.test.stuff_area)
    if void > _MUCH_VOID:
        mend = "what nobody labelled is neither learnt nor scored"
        remarks.append(Remark("note", "maps are mostly unlabelled", f"{void:.0%}", mend))
    return Look(measures={"unlabelled share": void}, counts=counts, remarks=tuple(remarks))


def _stuff(split: Split, segments: Segments, pixels: Pixels, least: int) -> list[Remark]:
    """Stuff that is too small, or in parts as things are."""
    first = len(split.things) + 1
    stuff = segments.labels >= first
    remarks = []
    small = stuff & (pixels < least)
    if small.any():
        row = int(np.argmax(small))
        detail = f"{split.classes[segments.labels[row] - 1]} has {pixels[row]:,} pixels"
        mend = f"--test.stuff_area {least} never finds them: lower it, if pictures are small"
        remarks.append(Remark("note", "maps have stuff below --test.stuff_area", detail, mend))
    parts = np.bincount(segments.labels[stuff] - first, minlength=len(split.stuff))
    if parts.max() > 1:
        detail = f"{split.stuff[int(parts.argmax())]} has {parts.max()} segments"
        mend = "stuff is found as one segment: join them, or is its 'isthing' wrong?"
        remarks.append(
            Remark("warning", "maps have several segments of one kind of stuff", detail, mend)
        )
    return remarks


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check(
        "panoptic",
        config,
        data.on_error,
        parts,
        together=lambda: read(config, data.val_split).require_segments(),
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
