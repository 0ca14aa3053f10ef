"""``python -m tasks.detection.predict --run runs/detection INPUT... --out DIR``: objects found.

INPUT are pictures, folders of pictures and videos. Each is written with the boxes, masks and names
of its objects drawn on it. `detections.json` lists them in COCO's result form with the file's name;
for persons that is what ``python -m tasks.pose.predict --boxes`` takes.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.detection import sample
from tasks.detection.config import ScoredConfig
from tasks.detection.inference import Detections, Predictor, open_named

_DRAWN = ".jpg"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Draw the objects of pictures and videos, and list them as JSON."""

    score_threshold: float = 0.5
    """Least score of an object that is drawn and listed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.score_threshold <= 1:
            raise UserError(f"--score_threshold is {self.score_threshold}; it must be from 0 to 1")


class Prediction:
    """What the loop of predict asks of detection."""

    def __init__(self, predictor: Predictor, out: Path) -> None:
        self.predictor, self.out = predictor, out

    def find(self, source: Source, picture: Picture, frame: int | None) -> Detections:
        """The objects of a picture."""
        return self.predictor(picture)

    def write(self, source: Source, picture: Picture, found: Detections) -> list[Entry]:
        """Write the picture with its objects."""
        image.write(self.out / f"{source.place}{_DRAWN}", self.predictor.draw(picture, found))
        return [{"file_name": source.name, **one} for one in self.predictor.describe(found)]

    def frame(
        self, source: Source, picture: Picture, found: Detections, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """A video's frame with its objects, which are listed with its number."""
        where = {"file_name": source.name, "frame": frame}
        entries = [{**where, **one} for one in self.predictor.describe(found)]
        return self.predictor.draw(picture, found), entries

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Nothing more: the objects of the frames are listed."""
        return []

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write detections.json."""
        text = json.dumps(list(entries), indent=1) + "\n"
        outputs.write_text(self.out / "detections.json", text)


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Draw on every picture and video into config.out, and write detections.json there."""
    config = replace(config, test=replace(config.test, score_threshold=config.score_threshold))
    with inputs.given(config, "predict --run runs/detection", generate) as found:
        given = inputs.placed(found, config, config.out, (_DRAWN,))
        named, model = open_named(config, world.device)
        done = predicting.each(
            given,
            Prediction(Predictor(model, named), config.out),
            config.out,
            world,
            settings=journal.digest(named, model.weights.file),
            resume=config.resume,
            workers=config.loader.workers,
            on_error=config.data.on_error,
            orientation=config.data.orientation,
        )
    if world.main:
        print(
            f"drew the objects of {done.pictures} pictures and {done.videos} videos in "
            f"{config.out}; detections.json lists {len(done.entries)}"
        )
        done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return image.list_images([folder / "val2017"])


if __name__ == "__main__":
    command.run(main)
