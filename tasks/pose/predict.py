"""``python -m tasks.pose.predict --run runs/pose INPUT... --out DIR``: skeletons on one's pictures.

INPUT are pictures, folders of pictures and videos. Their people are taken from ``--boxes FILE`` (a
detector's result, such as ``python -m tasks.detection.predict`` writes); without it each picture
and each frame is taken as the crop of one person. Beside the drawn pictures and videos,
`keypoints.json` lists the joints.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Inputs, Source
from common.commands.journal import Entry
from common.commands.predicting import Done
from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.pose import sample
from tasks.pose.boxes import Box, Place, read_picture_boxes
from tasks.pose.coco import read_coco
from tasks.pose.config import ScoredConfig
from tasks.pose.inference import People, Predictor, open_model

Boxes = Mapping[Place, Sequence[Box]]

_DRAWN = ".jpg"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Draw skeletons on pictures and videos, and write the joints as JSON."""

    boxes: Path | None = None
    """JSON or CSV file with the boxes of the people; none takes each picture as one person."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boxes is not None and (self.sample or self.camera is not None):
            flag = "--sample brings its own" if self.sample else "--camera takes whole pictures"
            raise UserError(f"--boxes {self.boxes}: {flag}; leave one of them out")


class Prediction:
    """What the loop of predict asks of pose estimation.

    Args:
        predictor: finds the people.
        out: folder of the results.
        boxes: of the people; None takes each picture as one person.
    """

    def __init__(self, predictor: Predictor, out: Path, boxes: Boxes | None) -> None:
        self.predictor, self.out, self.boxes = predictor, out, boxes
        self.on_error = predictor.config.data.on_error

    def find(self, source: Source, picture: Picture, frame: int | None) -> People:
        """The people in the boxes of a picture."""
        if self.boxes is None:
            return self.predictor(picture)
        chosen = self.boxes.get(Place(source.path, frame), ())
        return self.predictor(picture, self._inside(chosen, source.path, picture))

    def _inside(self, boxes: Sequence[Box], path: Path, picture: Picture) -> list[Box]:
        """The boxes that show a part of the picture.

        Raises:
            DamagedFile: one does not, and such are not skipped.
        """
        height, width = picture.shape[:2]
        inside = []
        for box in boxes:
            x, y, box_width, box_height = box.xywh
            if x < width and y < height and x + box_width > 0 and y + box_height > 0:
                inside.append(box)
            elif self.on_error == "stop":
                raise DamagedFile(
                    f"{path}: the box {list(box.xywh)} lies outside its {width}x{height} pixels; "
                    "correct it, or say --data.on_error skip"
                )
        return inside

    def write(self, source: Source, picture: Picture, found: People) -> list[Entry]:
        """Write the picture with the skeletons."""
        drawn = f"{source.place}{_DRAWN}"
        image.write(self.out / drawn, self.predictor.draw(picture, found))
        named = {"file_name": source.name, "drawn": drawn}
        return [{**named, **person} for person in self.predictor.describe(found)]

    def frame(
        self, source: Source, picture: Picture, found: People, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """A video's frame with the skeletons."""
        named = {"file_name": source.name, "drawn": f"{source.place}.mp4", "frame": frame}
        entries = [{**named, **person} for person in self.predictor.describe(found)]
        return self.predictor.draw(picture, found), entries

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Nothing: a video is known by the people in it."""
        return []

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write keypoints.json: the people, and what their joints are."""
        skeleton = self.predictor.skeleton
        content = {"joints": skeleton.names, "limbs": skeleton.limbs, "people": list(entries)}
        outputs.write_text(self.out / "keypoints.json", json.dumps(content))


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Draw on every picture and video into config.out, and write keypoints.json there."""
    with inputs.given(config, "predict --run runs/pose", generate) as found:
        given = inputs.placed(found, config, config.out, (_DRAWN,))
        boxes = boxes_of(config, given)
        model = open_model(config, world.device)
        settings = journal.digest(config, model.weights.file)
        if config.boxes is not None:
            settings += hashlib.sha256(config.boxes.read_bytes()).hexdigest()
        done = predicting.each(
            given,
            Prediction(Predictor(model, config), config.out, boxes),
            config.out,
            world,
            settings=settings,
            resume=config.resume,
            workers=config.loader.workers,
            on_error=config.data.on_error,
            orientation=config.data.orientation,
        )
    if world.main:
        tell(done, given, config.out)


def boxes_of(config: PredictConfig, given: Inputs) -> Boxes | None:
    """The boxes that --boxes or --sample brings; None takes each picture as one person.

    Raises:
        UserError: the file cannot be read, or names none of the inputs.
    """
    paths = [source.path for source in (*given.pictures, *given.videos)]
    if config.sample:
        return generated_boxes(paths[0].parents[2])
    if config.boxes is None:
        return None
    return read_picture_boxes(config.boxes, paths, config.data.box_threshold, config.data.on_error)


def tell(done: Done, given: Inputs, out: Path) -> None:
    """Print how many people were found, and in how many pictures nobody was looked for."""
    print(
        f"{len(done.entries)} people in {done.pictures} pictures and {done.videos} videos, drawn "
        f"in {out}"
    )
    peopled = {entry["file_name"] for entry in done.entries}
    # In a box there is always somebody.
    empty = sum(source.name not in peopled for source in given.pictures)
    without = empty - done.left_out["pictures"]
    if without:
        print(f"{without} of the pictures have no box and are shown as they are")
    done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return image.list_images([folder / "images" / "val2017"])


def generated_boxes(folder: Path) -> Boxes:
    """The boxes of the people in generated pictures."""
    annotations = read_coco(folder, "val2017")
    boxes: dict[Place, list[Box]] = {}
    for number, box in zip(annotations.image_ids.tolist(), annotations.boxes.tolist(), strict=True):
        place = Place(annotations.images[number])
        boxes.setdefault(place, []).append(Box(tuple(box), 1.0))
    return boxes


if __name__ == "__main__":
    command.run(main)
