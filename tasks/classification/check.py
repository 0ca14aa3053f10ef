"""``python -m tasks.classification.check --data.root X``: look at all of the data before training.

Reads everything as training does, and writes OUT/check/index.html with what it found. It takes the
flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.classification.config import Config
from tasks.classification.data import TrainSet, read, read_splits
from tasks.classification.pictures import Pictures


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = _read(config, split), config.data
    store = found.store
    square = (data.input_size, data.input_size)
    return Examined(
        name=split,
        summary=found.summary(),
        files=[store.name(index) for index in range(len(found))],
        kind=image.PICTURES,
        unit="pictures",
        classes=found.classes.names,
        content=store.read,
        header=partial(header, data.orientation),
        look=partial(_look, found),
        draw=lambda index: image.decode(
            store.read(index), store.name(index), orientation=data.orientation
        ),
        samples=lambda: len(TrainSet(found, data)),
        advice=lambda sizes: [advice.whole(sizes, "--data.input_size", square)],
        title=lambda index: found.classes.titles[int(found.labels[index])],
    )


def _read(config: Config, split: str) -> Pictures:
    """A split; the classes of the scored one may be those that are trained on."""
    training = read(config, config.data.train_split)
    return training if split == config.data.train_split else read(config, split, training.classes)


def _look(pictures: Pictures, index: int) -> Look:
    image.decode(pictures.store.read(index), pictures.store.name(index))
    return Look(counts={pictures.classes.names[int(pictures.labels[index])]: 1})


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check(
        "classification", config, data.on_error, parts, together=lambda: read_splits(config)
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
