"""``python -m tasks.salient.predict --run runs/salient INPUT... --out DIR``: what stands out.

INPUT are pictures, folders of them, and videos. Of each picture are written the map (grey PNG), the
cut-out (PNG whose background is transparent) and an overlay; of each video or a camera, an MP4 of
one of them. `saliency.json` lists the files, and the share of each picture that stands out.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.commands.masking import cutout, overlay
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.salient import sample
from tasks.salient.config import ScoredConfig
from tasks.salient.draw import Draw, grey, on_background
from tasks.salient.inference import Predictor, Saliency, open_model

Output = Literal["map", "cutout", "overlay"]

# What is drawn of a picture, with the end of its file's name; and of a video's frame.
PICTURES: dict[Output, tuple[str, Draw]] = {
    "map": ("_map.png", lambda _, saliency: saliency),
    "cutout": ("_cutout.png", cutout),
    "overlay": ("_overlay.jpg", overlay),
}
FRAMES: dict[Output, Draw] = {"map": grey, "cutout": on_background, "overlay": overlay}


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Find what stands out in pictures and videos."""

    outputs: tuple[Output, ...] = ("map", "cutout", "overlay")
    """What is written of each picture."""
    video: Output = "overlay"
    """What is written of each video; a cut-out stands before green."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.outputs:
            raise UserError("--outputs is empty; choose from map, cutout and overlay")


class Prediction:
    """What the loop of predict asks of salient object detection."""

    def __init__(self, predictor: Predictor, config: PredictConfig) -> None:
        self.predictor, self.config = predictor, config

    def find(self, source: Source, picture: Picture, frame: int | None) -> Saliency:
        """What stands out of a picture."""
        return self.predictor(picture)

    def write(self, source: Source, picture: Picture, found: Saliency) -> list[Entry]:
        """Write what was asked for: map, cut-out, overlay."""
        files: dict[str, str] = {}
        for kind in self.config.outputs:
            suffix, draw = PICTURES[kind]
            files[kind] = f"{source.place}{suffix}"
            saliency = self._visible(source, found) if kind == "cutout" else found.map
            image.write(self.config.out / files[kind], draw(picture, saliency))
        return [{"file_name": source.name, **files, **self.predictor.describe(found)}]

    def _visible(self, source: Source, found: Saliency) -> Picture:
        """The map (H, W) of a file, at most as high as the picture is opaque."""
        opacity = image.shown_opacity(source.path, self.config.data.orientation)
        return found.map if opacity is None else np.minimum(found.map, opacity)

    def frame(
        self, source: Source, picture: Picture, found: Saliency, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """What is shown of a video's frame."""
        return FRAMES[self.config.video](picture, found.map), []

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Name what was written of a video."""
        file = str(target.relative_to(self.config.out))
        return [{"file_name": source.name, self.config.video: file, "frames": frames}]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write saliency.json."""
        content = json.dumps({"files": list(entries)}, indent=1)
        outputs.write_text(self.config.out / "saliency.json", content + "\n")


def main() -> None:
    """Read the flags, find what stands out, and write it."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write what was asked for of every picture and video, and saliency.json, into config.out."""
    suffixes = [PICTURES[kind][0] for kind in config.outputs]
    clip = f"_{config.video}.mp4"
    with inputs.given(config, "predict --run runs/salient", generate) as found:
        given = inputs.placed(found, config, config.out, suffixes, clip)
        model = open_model(config, world.device)
        done = predicting.each(
            given,
            Prediction(Predictor(model, config), config),
            config.out,
            world,
            settings=journal.digest(config, model.weights.file),
            resume=config.resume,
            workers=config.loader.workers,
            on_error=config.data.on_error,
            orientation=config.data.orientation,
            video_suffix=clip,
        )
    if world.main:
        counts = f"{done.pictures} pictures and {done.videos} videos ({done.frames} frames)"
        print(f"{counts} in {config.out}")
        done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, SAMPLE_SEED, train=0, test=count, edge=0)
    return image.list_images([folder / "DUTS-TE" / "DUTS-TE-Image"])


if __name__ == "__main__":
    command.run(main)
