"""``python -m tasks.panoptic.predict --run runs/panoptic INPUT... --out DIR``: all of a picture.

INPUT are pictures, folders of pictures and videos. Of a picture NAME two files are written:
`NAME_panoptic.png`, whose colours are the ids of the segments (R + 256 G + 65536 B), and
`NAME_panoptic.jpg`, the picture under coloured segments with their names. Of a video or a camera,
an MP4 of these. `panoptic.json` lists the segments in COCO's panoptic form.
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
from tasks.panoptic import sample
from tasks.panoptic.config import ScoredConfig
from tasks.panoptic.form import categories_of, coco_form
from tasks.panoptic.inference import Panoptic, Predictor, open_model
from tasks.panoptic.maps import write_ids

_MAP, _DRAWN, _CLIP = "_panoptic.png", "_panoptic.jpg", "_panoptic.mp4"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Find the segments of pictures and videos: PNG of ids, JSON, and coloured pictures."""


class Prediction:
    """What the loop of predict asks of panoptic segmentation."""

    def __init__(self, predictor: Predictor, out: Path) -> None:
        self.predictor, self.out = predictor, out

    def find(self, source: Source, picture: Picture, frame: int | None) -> Panoptic:
        """The segments of a picture."""
        return self.predictor(picture)

    def write(self, source: Source, picture: Picture, found: Panoptic) -> list[Entry]:
        """Write the map and the picture with its segments."""
        name = f"{source.place}{_MAP}"
        write_ids(self.out / name, found.ids)
        image.write(self.out / f"{source.place}{_DRAWN}", self.predictor.draw(picture, found))
        height, width = found.ids.shape
        size = {"height": height, "width": width}
        segments = self.predictor.describe(found)
        return [{"file_name": source.name, **size, "panoptic": name, "segments_info": segments}]

    def frame(
        self, source: Source, picture: Picture, found: Panoptic, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """A video's frame with its segments."""
        return self.predictor.draw(picture, found), []

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Name what was written of a video."""
        file = str(target.relative_to(self.out))
        return [{"file_name": source.name, "drawn": file, "frames": frames}]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write panoptic.json."""
        content = coco_form(entries, categories_of(self.predictor.categories))
        outputs.write_text(self.out / "panoptic.json", json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Read the flags, and find segments."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write the segments of every picture and video into config.out, and panoptic.json there."""
    with inputs.given(config, "predict --run runs/panoptic", generate) as found:
        given = inputs.placed(found, config, config.out, (_MAP, _DRAWN), _CLIP)
        named, model = open_model(config, world.device)
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
            video_suffix=_CLIP,
        )
    if world.main:
        print(f"segments of {done.pictures} pictures and {done.videos} videos in {config.out}")
        done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return image.list_images([folder / "val2017"])


if __name__ == "__main__":
    command.run(main)
