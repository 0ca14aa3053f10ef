"""``python -m tasks.segmentation.check --data.root X``: look at all of a data set before training.

Reads every picture and label map of both splits as training does, and writes OUT/check/index.html
with what it found. It takes the flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import Remark
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.networks.losses import IGNORED
from common.reading import image
from common.reading.left_out import OnError
from tasks.segmentation import survey
from tasks.segmentation.config import Config
from tasks.segmentation.data import Split, read, with_classes
from tasks.segmentation.draw import overlay
from tasks.segmentation.labels import UNKNOWN
from tasks.segmentation.palette import colours_of

_IGNORED = "(ignored)"


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = with_classes(replace(config, data=replace(config.data, on_error=on_error)))
    found, data = read(config, split), config.data
    colours = colours_of(data.label_colours)

    def draw(index: int) -> image.Picture:
        sample = found.read(index)
        return overlay(sample.image, sample.label, found.classes, colours)

    def samples() -> int:
        survey.require_classes(found, replace(data, on_error="skip"))
        return len(found)

    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(pair.image) for pair in found.pairs],
        kind=image.PICTURES,
        unit="pixels",
        classes=found.classes,
        content=lambda index: image.content(found.pairs[index].image),
        header=partial(header, data.orientation),
        look=partial(_look, found),
        draw=draw,
        samples=samples,
        advice=lambda sizes: [advice.short_side(sizes, "--data.short_side", data.short_side)],
    )


def _look(split: Split, index: int) -> Look:
    """Pixels of each class."""
    pixels = np.bincount(split.read(index).label.ravel(), minlength=256)
    counts = {name: int(pixels[label]) for label, name in enumerate(split.classes)}
    remarks: tuple[Remark, ...] = ()
    if split.reader.unknown == "ignore" and pixels[IGNORED]:
        unknown = np.count_nonzero(split.reader.marked(split.pairs[index].label) == UNKNOWN)
        if unknown:
            kind, detail = "label maps hold values of no class", f"{unknown:,} pixels"
            mend = "--data.unknown ignore leaves them out; name them if they are classes"
            remarks = (Remark("note", kind, detail, mend),)
    return Look(counts={**counts, _IGNORED: int(pixels[IGNORED])}, remarks=remarks)


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check("segmentation", config, data.on_error, parts)
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
