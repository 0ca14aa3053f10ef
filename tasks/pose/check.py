"""``python -m tasks.pose.check --data.root X``: look at all of the data before training.

Reads everything as training does, and writes OUT/check/index.html with what it found. It takes the
flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import unused
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.pose.annotations import Annotations
from tasks.pose.config import Config, DataConfig
from tasks.pose.data import TrainSet, read, read_picture_of
from tasks.pose.draw import draw_people

_PERSONS = "(persons)"


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """The pictures of a split with their persons; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, split), config.data
    numbers = np.unique(found.image_ids).tolist()

    def draw(index: int) -> image.Picture:
        picture = image.read(found.images[numbers[index]], orientation=data.orientation)
        return draw_people(picture, _joints(found, numbers[index]), found.skeleton, 0.0)

    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(found.images[number]) for number in numbers],
        kind=image.PICTURES,
        unit="labelled joints",
        classes=found.skeleton.names,
        content=lambda index: image.content(found.images[numbers[index]]),
        header=partial(header, data.orientation),
        look=lambda index: _look(found, data, numbers[index]),
        draw=draw,
        samples=lambda: len(TrainSet(found, data)),
        advice=lambda _: [advice.crops(found.boxes[:, 3], "--data.input_size", data.input_size[0])],
        kinds="joints",
        findings=unused(split, found.dropped),
    )


def _joints(annotations: Annotations, number: int) -> NDArray[np.float64]:
    """Joints (N, J, 3) of the persons in a picture."""
    joints: NDArray[np.float64] = annotations.joints[annotations.image_ids == number]
    return joints


def _look(annotations: Annotations, data: DataConfig, number: int) -> Look:
    """Persons, and labelled joints by name."""
    read_picture_of(annotations, number, data)
    joints = _joints(annotations, number)
    labelled = np.count_nonzero(joints[:, :, 2], axis=0).tolist()
    counts = dict(zip(annotations.skeleton.names, labelled, strict=True))
    return Look(counts={_PERSONS: len(joints), **counts})


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check(
        "pose",
        config,
        data.on_error,
        parts,
        together=lambda: read(config, data.val_split).require_persons(),
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
