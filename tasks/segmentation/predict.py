"""``python -m tasks.segmentation.predict --run runs/segmentation INPUT... --out DIR``: label maps.

INPUT are pictures, folders of pictures and videos. Of a picture NAME two files are written:
`NAME.png`, a palette PNG whose values are the labels, and `NAME_overlay.jpg`. Of a video or a
camera, an MP4 of overlays. `segments.json` names classes and colours, and each class's share of
every picture.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.segmentation import sample
from tasks.segmentation.config import ScoredConfig
from tasks.segmentation.data import with_classes
from tasks.segmentation.draw import legend
from tasks.segmentation.inference import Predictor, Segmentation, open_model
from tasks.segmentation.palette import write_labels

_LEGEND = "segments_legend.png"
_LEGEND_WIDTH = 600
_LABELS, _OVERLAY = ".png", "_overlay.jpg"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Segment pictures and videos: palette PNG and overlays."""


class Prediction:
    """What the loop of predict asks of segmentation."""

    def __init__(self, predictor: Predictor, out: Path) -> None:
        self.predictor, self.out = predictor, out

    def find(self, source: Source, picture: Picture, frame: int | None) -> Segmentation:
        """The classes of a picture."""
        return self.predictor(picture)

    def write(self, source: Source, picture: Picture, found: Segmentation) -> list[Entry]:
        """Write label map and overlay."""
        labels, overlay = f"{source.place}{_LABELS}", f"{source.place}{_OVERLAY}"
        write_labels(self.out / labels, found.labels, self.predictor.colours)
        image.write(self.out / overlay, self.predictor.draw(picture, found))
        named = {"file_name": source.name, "labels": labels, "overlay": overlay}
        return [{**named, **self.predictor.describe(found)}]

    def frame(
        self, source: Source, picture: Picture, found: Segmentation, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """The overlay of a video's frame."""
        return self.predictor.draw(picture, found), []

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Name a video's overlay."""
        overlay = str(target.relative_to(self.out))
        return [{"file_name": source.name, "overlay": overlay, "frames": frames}]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write what the labels mean: segments.json, and segments_legend.png for the overlays."""
        classes, colours = self.predictor.classes, self.predictor.colours
        content = {
            "classes": [
                {"label": index, "class": name, "colour": colours[index].tolist()}
                for index, name in enumerate(classes)
            ],
            "files": list(entries),
        }
        outputs.write_text(self.out / "segments.json", json.dumps(content, indent=1) + "\n")
        drawn = legend(classes, range(len(classes)), colours, _LEGEND_WIDTH)
        image.write(self.out / _LEGEND, drawn)


def main() -> None:
    """Read the flags, and segment."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Segment every picture and video into config.out, and write segments.json there."""
    config = with_classes(config)
    with inputs.given(config, "predict --run runs/segmentation", generate) as found:
        given = inputs.placed(found, config, config.out, (_LABELS, _OVERLAY), reserved=(_LEGEND,))
        model = open_model(config, world.device)
        done = predicting.each(
            given,
            Prediction(Predictor(model, config), config.out),
            config.out,
            world,
            settings=journal.digest(config, model.weights.file),
            resume=config.resume,
            workers=config.loader.workers,
            on_error=config.data.on_error,
            orientation=config.data.orientation,
        )
    if world.main:
        print(f"segmented {done.pictures} pictures and {done.videos} videos in {config.out}")
        done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return image.list_images([folder / "JPEGImages"])


if __name__ == "__main__":
    command.run(main)
