"""``python -m tasks.salient.check --data.root X``: look at all of the data before training.

Reads everything as training does, and writes OUT/check/index.html with what it found. It takes the
flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np

from common.check import advice
from common.check.check import Part, check
from common.check.examined import Examined, Look
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.commands.masking import overlay
from common.reading import image
from common.reading.left_out import OnError
from tasks.salient import sets
from tasks.salient.config import Config, DataConfig
from tasks.salient.data import TrainSet, read_edges, read_mask, read_pair, root_of
from tasks.salient.metrics import OBJECT
from tasks.salient.sets import PictureSet


def trained_on(config: Config, _: OnError) -> Examined:
    """The training set as the check reads it; raises UserError as `sets.find` does."""
    data = config.data
    found = sets.find("--data.train_set", data.train_set, root_of(config))
    return replace(
        _examined(found, data),
        look=lambda index: _of_mask(read_pair(found.pairs[index], data)[1]),
        samples=lambda: len(TrainSet(found, data)),
        advice=lambda sizes: (
            [advice.whole(sizes, "--data.input_size", data.input_size)]
            if data.fit != "native"
            else []
        ),
    )


def scored(config: Config, source: str, _: OnError) -> Examined:
    """A set that is scored; masks of another size than their picture's are no fault there."""
    return _examined(sets.find("--data.test_sets", source, root_of(config)), config.data)


def edges(config: Config, _: OnError) -> Examined:
    """The set of edge maps."""
    found = sets.find("--data.edge_set", config.data.edge_set, root_of(config))

    def look(index: int) -> Look:
        marked = read_edges(found.pairs[index], config.data)[1]
        count = int(np.count_nonzero(marked > OBJECT))
        return Look(counts={"edge": count, "background": marked.size - count})

    return replace(_examined(found, config.data), classes=("edge", "background"), look=look)


def _examined(found: PictureSet, data: DataConfig) -> Examined:
    def look(index: int) -> Look:
        image.read(found.pairs[index].image)
        return _of_mask(read_mask(found.pairs[index].label, data.allow_empty, data.orientation))

    def draw(index: int) -> image.Picture | None:
        picture, mask = (
            image.read(path, orientation=data.orientation) for path in found.pairs[index]
        )
        return overlay(picture, mask[:, :, 0]) if picture.shape == mask.shape else None

    return Examined(
        name=found.name,
        summary=found.summary(),
        files=[str(pair.image) for pair in found.pairs],
        kind=image.PICTURES,
        unit="pixels",
        classes=("object", "background"),
        content=lambda index: image.content(found.pairs[index].image),
        header=partial(header, data.orientation),
        look=look,
        draw=draw,
        samples=lambda: len(found),
    )


def _of_mask(mask: image.Picture) -> Look:
    marked = int(np.count_nonzero(mask > OBJECT))
    return Look(counts={"object": marked, "background": mask.size - marked})


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = [Part("training", data.train_set, partial(trained_on, config))]
    if config.model.edge:
        parts.append(Part("training", data.edge_set, partial(edges, config)))
    parts += [Part("scoring", one, partial(scored, config, one)) for one in data.test_sets]
    report = check("salient", config, data.on_error, parts)
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
