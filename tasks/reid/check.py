"""``python -m tasks.reid.check --data.root X``: look at all of the data before training.

Reads everything as training does, and writes OUT/check/index.html with what it found. It takes the
flags of train. Exit status 1: training would stop.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from common.check import advice
from common.check.check import Part, check
from common.check.examined import Examined, Look
from common.check.findings import Finding, unused
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.reid.batches import person_batches
from tasks.reid.config import Config, DataConfig
from tasks.reid.data import TrainSet, overlap, read
from tasks.reid.listing import Pictures


def trained_on(config: Config, on_error: OnError) -> Examined:
    """The training pictures as the check reads them; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, "train"), config.data

    def samples() -> int:
        person_batches(found.labels, config, 1)
        return len(TrainSet(found, data))

    return replace(
        _examined(found.pictures, "train", found.summary(), data),
        samples=samples,
        advice=lambda sizes: [advice.whole(sizes, "--data.input_size", data.input_size)],
    )


def scored(config: Config, split: Literal["query", "gallery"], on_error: OnError) -> Examined:
    """Who is sought, or where; apart, as a score needs some of both."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    test = read(config, "test")
    found = test.query if split == "query" else test.gallery
    return _examined(found, split, f"{split}: {found.summary()}", config.data)


def _examined(found: Pictures, name: str, summary: str, data: DataConfig) -> Examined:
    persons, cameras = found.persons.tolist(), found.cameras.tolist()

    def draw(index: int) -> image.Picture:
        return image.read(found.paths[index], orientation=data.orientation)

    def look(index: int) -> Look:
        draw(index)
        return Look(attributes={"camera": cameras[index]}, counts={persons[index]: 1})

    return Examined(
        name=name,
        summary=summary,
        files=[str(path) for path in found.paths],
        kind=image.PICTURES,
        unit="pictures",
        classes=(),
        content=lambda index: image.content(found.paths[index]),
        header=partial(header, data.orientation),
        look=look,
        draw=draw,
        samples=lambda: len(found),
        kinds="persons",
        title=lambda index: f"{persons[index]}, camera {cameras[index]}",
        findings=unused(name, found.left_out),
    )


def in_both(config: Config) -> Sequence[Finding]:
    """Persons who are trained on and sought, as far as their pictures can be listed."""
    config = replace(config, data=replace(config.data, on_error="skip"))
    both = overlap(read(config, "train"), read(config, "test"), config.data)
    if not both:
        return ()
    text = f"{len(both):,} persons are trained on as well"
    mend = "take them out of one split: the score is not that of people never seen"
    return (Finding("warning", "test", "persons in both splits", text, mend, tuple(both)),)


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    report = check(
        "reid",
        config,
        config.data.on_error,
        [
            Part("training", "train", partial(trained_on, config)),
            Part("scoring", "query", partial(scored, config, "query")),
            Part("scoring", "gallery", partial(scored, config, "gallery")),
        ],
        between=lambda: in_both(config),
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
