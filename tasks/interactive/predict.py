"""``python -m tasks.interactive.predict --run runs/interactive INPUT... --out DIR``: masks.

INPUT are pictures and folders of them. What is clicked on in `a.jpg` says `a.json` beside it, or
`--clicks`: a text such as '40,25,+ 80,60,-' or a JSON file for every picture, or a folder of JSON
files. Of a picture NAME are written `NAME_mask.png` (0 and 255), `NAME_cutout.png` and
`NAME_overlay.jpg`. `masks.json` lists them in COCO's form, with the clicks and with polygons.
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
from common.commands.inputs import SAMPLE_SEED, InputFlags, Inputs, Source
from common.commands.journal import Entry
from common.commands.masking import cutout
from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.interactive import clicks as clicking
from tasks.interactive import sample
from tasks.interactive.clicks import Given
from tasks.interactive.config import ScoredConfig
from tasks.interactive.inference import Found, Predictor, open_model
from tasks.interactive.masks import first_channel

Output = Literal["mask", "cutout", "overlay"]

SUFFIXES: dict[Output, str] = {
    "mask": "_mask.png", "cutout": "_cutout.png", "overlay": "_overlay.jpg",
}  # fmt: skip
LIST = "masks.json"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Cut out what is clicked on in pictures."""

    clicks: str | None = None
    """Clicks of every picture, such as '40,25,+ 80,60,-', or a JSON file of these, or a folder with
    one for each; none: one beside each picture."""
    outputs: tuple[Output, ...] = ("mask", "cutout", "overlay")
    """What is written of each picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.outputs:
            raise UserError(f"--outputs is empty; choose from {', '.join(SUFFIXES)}")


class Prediction:
    """What the loop of predict asks of interactive segmentation."""

    def __init__(self, predictor: Predictor, config: PredictConfig) -> None:
        self.predictor, self.config = predictor, config

    def find(self, source: Source, picture: Picture, frame: int | None) -> Found:
        """The mask after the picture's clicks."""
        given = given_for(source.path, self.config.clicks)
        try:
            return clicked(self.predictor, picture, given)
        except DamagedFile:
            raise
        except UserError as error:
            raise UserError(f"{source.path}: {error}") from None

    def write(self, source: Source, picture: Picture, found: Found) -> list[Entry]:
        """Write what was asked for."""
        config = self.config
        names = {kind: f"{source.place}{SUFFIXES[kind]}" for kind in config.outputs}
        mask = np.where(found.mask, 255, 0).astype(np.uint8)
        for kind, name in names.items():
            target = config.out / name
            match kind:
                case "mask":
                    image.write(target, mask)
                case "cutout":
                    opacity = image.shown_opacity(source.path, config.data.orientation)
                    seen = mask if opacity is None else np.minimum(mask, opacity)
                    image.write(target, cutout(picture, seen))
                case "overlay":
                    image.write(target, self.predictor.draw(picture, found))
        height, width = found.mask.shape
        files = {str(kind): name for kind, name in names.items()}
        size = {"height": height, "width": width}
        return [{"file_name": source.name, **size, **files, **self.predictor.describe(found)}]

    def frame(
        self, source: Source, picture: Picture, found: Found, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """Videos are refused before."""
        raise NotImplementedError

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Videos are refused before."""
        raise NotImplementedError

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write masks.json, and say which masks are empty."""
        text = json.dumps(as_coco(entries), indent=1) + "\n"
        outputs.write_text(self.config.out / LIST, text)
        empty = [str(entry["file_name"]) for entry in entries if not entry["area"]]
        if empty:
            print(
                f"note: {len(empty)} of {len(entries)} masks are empty (first: {empty[0]}): click "
                "more, or say a --data.short_side at which objects are as large as in training"
            )


def clicked(predictor: Predictor, picture: Picture, given: Given) -> Found:
    """The mask of a picture after what is given.

    Raises:
        UserError, DamagedFile: it does not fit the picture or the network, or cannot be read.
    """
    mask = None if given.mask is None else first_channel(given.mask, "upright")
    session = predictor.start(picture, mask=mask, box=given.box)
    for one in given.clicks:
        session.click(*one)
    return Found(session.mask, session.probabilities, session.clicks)


def given_for(picture: Path, said: str | None) -> Given:
    """What is clicked on in a picture.

    Args:
        picture: its file.
        said: --clicks.

    Raises:
        UserError: nothing is, or no click says what is wanted.
    """
    place = picture.parent if said is None else Path(said)
    if said is not None and (not said.strip() or not place.exists()):
        given = Given(clicking.parse(said))
    else:
        file = place / f"{picture.stem}.json" if place.is_dir() else place
        if not file.is_file():
            raise UserError(
                f"{picture}: nothing is clicked on: no {file}; write one, or say --clicks "
                "'40,25,+ 80,60,-'"
            )
        given = clicking.read(file)
    if given.mask is None and given.box is None and not any(one.positive for one in given.clicks):
        raise UserError(
            f"{picture}: has no positive click, which says what is wanted; give one, as 40,25,+"
        )
    return given


def as_coco(entries: Sequence[Entry]) -> dict[str, object]:
    """The entries as a COCO file: one picture and one annotation each, all of one category."""
    shapes = ("area", "bbox", "segmentation")
    images = [
        {"id": number, **{key: value for key, value in entry.items() if key not in shapes}}
        for number, entry in enumerate(entries, start=1)
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        | {key: entry[key] for key in shapes}
        for number, entry in enumerate(entries, start=1)
        if entry["area"]
    ]
    categories = [{"id": 1, "name": "object"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def main() -> None:
    """Read the flags, and write masks."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write the mask of every picture into config.out, and masks.json there."""
    with inputs.given(config, "predict --run runs/interactive", generate) as found:
        given = inputs.placed(found, config, config.out, list(SUFFIXES.values()), reserved=[LIST])
        require_pictures(given)
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
        )
    if world.main:
        print(f"masks of {done.pictures} pictures in {config.out}; {LIST} lists them")
        done.report()


def require_pictures(given: Inputs) -> None:
    """Refuse videos and cameras, on which nobody has clicked.

    Raises:
        UserError: one is given.
    """
    if given.videos or given.camera is not None:
        named = given.videos[0].path if given.videos else f"--camera {given.camera}"
        raise UserError(f"{named}: clicks are on pictures, not on videos; give a picture of it")


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen, and a click on an object of each."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return sample.click_files(folder)


if __name__ == "__main__":
    command.run(main)
