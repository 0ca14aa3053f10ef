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
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from backbone import deploy
from backbone.errors import WeightsError
from common import outputs
from common.commands import command, trained
from common.errors import UserError
from common.reading import image, video
from common.reading.left_out import LeftOut
from common.training import distributed
from tasks.detection import evaluate, sample
from tasks.detection.batches import pad
from tasks.detection.data import as_tested
from tasks.detection.draw import Drawn, draw_objects
from tasks.detection.inference import Detections, ScoredConfig, coco_results, detect, restore
from tasks.detection.published import from_published

SAMPLE_SEED = 1
"""Another seed than that of the set which is trained and scored."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Draw the objects of pictures and videos, and list them as JSON."""

    inputs: tuple[Path, ...] = ()
    """Pictures, folders of pictures and videos: the words that belong to no flag."""
    score_threshold: float = 0.5
    """Least score of an object that is drawn and listed."""
    sample: int = 0
    """Instead of inputs, draw on so many freshly generated pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.score_threshold <= 1:
            raise UserError(f"--score_threshold is {self.score_threshold}; it must be from 0 to 1")
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and self.inputs:
            raise UserError("--sample: brings its own pictures; leave out the others")


class Finder:
    """A model with what it takes to go from a picture to its objects."""

    def __init__(self, model: nn.Module, config: PredictConfig) -> None:
        self.model = model
        self.config = config
        self.classes = config.data.classes
        known = len(config.data.category_ids) == len(self.classes)
        self.ids = config.data.category_ids if known else range(1, len(self.classes) + 1)

    def find(self, picture: Picture) -> Detections:
        """The objects of a picture (H, W, 3), RGB."""
        device = next(self.model.parameters()).device
        ordered = picture if self.config.data.colour == "RGB" else picture[:, :, ::-1].copy()
        planes = torch.from_numpy(as_tested(ordered, self.config.data))
        low = self.config.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
            return detect(
                self.model,
                pad([planes]).to(device),
                torch.tensor([planes.shape[1:]], device=device),
                torch.tensor([picture.shape[:2]]),
                self.config.test,
            )[0]

    def draw(self, picture: Picture, found: Detections) -> Picture:
        """The picture with what was found in it."""
        nothing = [None] * len(found.labels)
        masks: Sequence[dict[str, Any] | None] = nothing if found.masks is None else found.masks
        drawn = [
            Drawn(box, label, f"{self.classes[label - 1]} {score:.2f}", mask)
            for box, label, score, mask in zip(
                found.boxes.tolist(), found.labels.tolist(), found.scores, masks, strict=True
            )
        ]
        return draw_objects(picture, drawn)

    def entries(self, found: Detections, where: dict[str, Any]) -> list[dict[str, Any]]:
        """What was found as JSON, with the words that say in which picture."""
        named = coco_results(found, self.ids)
        return [
            {**where, "class": self.classes[label - 1], **one}
            for label, one in zip(found.labels.tolist(), named, strict=True)
        ]


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    if config.sample:
        with TemporaryDirectory() as folder:
            sample.write(Path(folder), seed=SAMPLE_SEED, train=0, val=config.sample)
            predict(config, image.list_images([Path(folder) / "val2017"]), [])
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures, folders or videos, such as predict --run "
            "runs/detection photos/"
        )
    videos = [path for path in config.inputs if video.is_video(path)]
    others = [path for path in config.inputs if path not in videos]
    predict(config, image.list_images(others) if others else [], videos)


def predict(config: PredictConfig, pictures: Sequence[Path], videos: Sequence[Path]) -> None:
    """Draw on every picture and video into config.out, and write detections.json there."""
    config = evaluate.with_names(config)
    config = replace(config, test=replace(config.test, score_threshold=config.score_threshold))
    weights = trained.find(config, from_published)
    targets = outputs.targets(pictures, config.out, ".jpg", videos)
    videos_to = outputs.targets(videos, config.out, ".mp4", pictures)
    world = distributed.start(config.engine.device)
    model = restore(config, weights, world.device)
    finder = Finder(deploy(model) if config.deploys else model, config)
    names = outputs.names([*pictures, *videos])
    entries: list[dict[str, Any]] = []
    left_pictures, left_videos = LeftOut(config.data.on_error), LeftOut(config.data.on_error)
    for path in tqdm(pictures, desc="predicting", unit="picture", disable=not sys.stderr.isatty()):
        with left_pictures:
            picture = image.read(path, rotate=True)  # people look at their pictures upright
            found = finder.find(picture)
            image.write(targets[path], finder.draw(picture, found))
            entries += finder.entries(found, {"file_name": names[path]})
    for path in videos:
        with left_videos:
            entries += _on_video(finder, path, videos_to[path], names[path])
    outputs.write_text(config.out / "detections.json", json.dumps(entries, indent=1) + "\n")
    print(
        f"{len(entries)} objects in {left_pictures.kept} pictures and {left_videos.kept} videos, "
        f"drawn in {config.out}"
    )
    left_pictures.tell("pictures")
    left_videos.tell("videos")


def _on_video(finder: Finder, source: Path, target: Path, name: str) -> list[dict[str, Any]]:
    """Draw on a video's frames; what was found, with the number of its frame from 0 on."""
    entries: list[dict[str, Any]] = []
    frames = 0

    def drawn(frame: Picture) -> Picture:
        nonlocal frames
        found = finder.find(frame)
        entries.extend(finder.entries(found, {"file_name": name, "frame": frames}))
        frames += 1
        return finder.draw(frame, found)

    video.transform(source, target, drawn)
    return entries


if __name__ == "__main__":
    command.run(main, WeightsError)
