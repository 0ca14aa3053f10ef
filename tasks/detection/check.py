"""``python -m tasks.detection.check --data.root X``: look at all of the data before training.

Reads everything as training does, and writes OUT/check/index.html with what it found. It takes the
flags of train. Exit status 1: training would stop.
"""

import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import Remark, unused
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.detection.annotations import Annotations
from tasks.detection.config import Config, DataConfig
from tasks.detection.data import TrainSet, read, read_picture_of
from tasks.detection.draw import draw_objects
from tasks.detection.report import annotated

_CROWDS = "(crowds, difficult)"
_BEYOND = 1.0
"""Pixels by which a box may reach beyond its picture, as tools round."""
_SMALLEST = 2.0
"""Pixels below which a side of an object is hard to see, once it is scaled."""


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, split), config.data
    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(path) for path in found.images],
        kind=image.PICTURES,
        unit="objects",
        classes=found.classes,
        content=lambda index: image.content(found.images[index]),
        header=partial(header, data.orientation),
        look=partial(_look, found, data),
        draw=lambda index: draw_objects(
            image.read(found.images[index], orientation=data.orientation), annotated(found, index)
        ),
        samples=lambda: len(TrainSet(found, data)),
        advice=lambda sizes: [
            advice.short_side(sizes, "--data.short_sides", max(data.short_sides)),
            *_small(found, max(data.short_sides)),
        ],
        findings=unused(split, found.dropped),
    )


def _look(annotations: Annotations, data: DataConfig, index: int) -> Look:
    """Objects of each class, and boxes that reach beyond the picture."""
    read_picture_of(annotations, index, data)
    first, end = annotations.starts[index : index + 2]
    rows, (height, width) = slice(first, end), annotations.sizes[index]
    counts = Counter(
        _CROWDS if crowd else annotations.classes[label - 1]
        for label, crowd in zip(annotations.labels[rows], annotations.crowd[rows], strict=True)
    )
    boxes = annotations.annotated_boxes[rows]
    beyond = np.concatenate([-boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - (width, height)], axis=1)
    if not len(boxes) or beyond.max() <= _BEYOND:
        return Look(counts=counts)
    count = np.count_nonzero((beyond > _BEYOND).any(axis=1))
    remark = Remark(
        "warning",
        "pictures have boxes that reach beyond their edges",
        f"{count} of {len(boxes)} boxes, by up to {beyond.max():.0f} pixels",
        "they are cut off at the edges; if many are wrong, the boxes belong to pictures of "
        "another size",
    )
    return Look(counts=counts, remarks=(remark,))


def _small(annotations: Annotations, short_side: int) -> list[str]:
    """Objects that scaling makes too small to be seen."""
    if not len(annotations.boxes):
        return []
    pictures = np.repeat(np.arange(len(annotations)), np.diff(annotations.starts))
    scales = short_side / annotations.sizes.min(axis=1)[pictures]
    sides = (annotations.boxes[:, 2:] - annotations.boxes[:, :2]).min(axis=1) * scales
    share = float((sides < _SMALLEST).mean())
    if share < 0.01:
        return []
    return [
        f"{share:.0%} of the objects are less than {_SMALLEST:g} pixels wide or high at "
        f"--data.short_sides {short_side}; larger pictures show them"
    ]


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check(
        "detection",
        config,
        data.on_error,
        parts,
        together=lambda: read(config, data.val_split).require_objects(),
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
