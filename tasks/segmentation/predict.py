"""``python -m tasks.segmentation.predict --run runs/segmentation INPUT... --out DIR``: label maps.

INPUT are pictures, folders of pictures and videos. Of a picture NAME two files are written:
`NAME.png`, a palette PNG whose values are the labels, and `NAME_overlay.jpg`. Of a video, an MP4 of
overlays. `segments.json` names classes and colours, and each class's share of every picture.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
from common.reading.image import planes
from common.reading.left_out import LeftOut
from common.training import distributed
from tasks.segmentation import evaluate, sample
from tasks.segmentation.draw import legend, overlay
from tasks.segmentation.inference import ScoredConfig, restore, segment
from tasks.segmentation.model import from_published
from tasks.segmentation.palette import Colours, colours_of, write_labels

SAMPLE_SEED = 1
"""Another seed than that of the set which is trained and scored."""

_LEGEND = "segments_legend.png"
_LEGEND_WIDTH = 600


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Segment pictures and videos: palette PNG and overlays."""

    inputs: tuple[Path, ...] = ()
    """Pictures, folders of pictures and videos: the words that belong to no flag."""
    sample: int = 0
    """Instead of inputs, segment so many freshly generated pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and self.inputs:
            raise UserError("--sample: brings its own pictures; leave out the others")


class Segmenter:
    """A model with what it takes to go from a picture to its labels and its overlay."""

    def __init__(self, model: nn.Module, config: ScoredConfig) -> None:
        self.model = model
        self.config = config
        self.classes = config.data.classes
        self.colours: Colours = colours_of(config.data.palette)

    def labels(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label map (H, W) of a picture (H, W, 3), RGB."""
        device = next(self.model.parameters()).device
        batch = torch.from_numpy(planes(picture))[None].to(device)
        low = self.config.precision == "bf16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=low):
            found: NDArray[np.uint8] = segment(self.model, batch, self.config.test)[0].cpu().numpy()
        return found

    def overlay(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, 3) under the colours of its labels."""
        return overlay(picture, self.labels(picture), self.classes, self.colours)

    def shares(self, labels: NDArray[np.uint8]) -> dict[str, float]:
        """Share of the picture of each class that it shows, the largest first."""
        counts = np.bincount(labels.ravel(), minlength=len(self.classes))
        return {
            self.classes[index]: round(float(counts[index] / labels.size), 4)
            for index in np.argsort(-counts, kind="stable")
            if counts[index]
        }


def main() -> None:
    """Read the flags, and segment."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    if config.sample:
        with TemporaryDirectory() as folder:
            sample.write(Path(folder), seed=SAMPLE_SEED, train=0, val=config.sample)
            predict(config, image.list_images([Path(folder) / "JPEGImages"]), [])
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures, folders or videos, such as predict --run "
            "runs/segmentation photos/"
        )
    videos = [path for path in config.inputs if video.is_video(path)]
    others = [path for path in config.inputs if path not in videos]
    predict(config, image.list_images(others) if others else [], videos)


def predict(config: PredictConfig, pictures: Sequence[Path], videos: Sequence[Path]) -> None:
    """Segment every picture and video into config.out, and write segments.json there."""
    config = evaluate.with_classes(config)
    weights = trained.find(config, from_published)
    labels_to = outputs.targets(pictures, config.out, ".png", videos, (_LEGEND,))
    overlays_to = outputs.targets(pictures, config.out, "_overlay.jpg", videos)
    videos_to = outputs.targets(videos, config.out, ".mp4", pictures)
    names = outputs.names([*pictures, *videos])
    world = distributed.start(config.engine.device)
    model = restore(config, weights, world.device)
    segmenter = Segmenter(deploy(model) if config.deploys else model, config)
    entries: list[dict[str, Any]] = []
    left_pictures, left_videos = LeftOut(config.data.on_error), LeftOut(config.data.on_error)
    for path in tqdm(pictures, desc="predicting", unit="picture", disable=not sys.stderr.isatty()):
        with left_pictures:
            written = _segment_picture(segmenter, path, labels_to[path], overlays_to[path])
            entries.append({"file_name": names[path], **written})
    for path in videos:
        target = videos_to[path]
        with left_videos:
            frames = video.transform(path, target, segmenter.overlay)
            entries.append({"file_name": names[path], "overlay": target.name, "frames": frames})
    _write_key(config.out, segmenter, entries)
    print(f"segmented {left_pictures.kept} pictures and {left_videos.kept} videos in {config.out}")
    left_pictures.tell("pictures")
    left_videos.tell("videos")


def _segment_picture(segmenter: Segmenter, path: Path, target: Path, drawn: Path) -> dict[str, Any]:
    # People look at their pictures upright.
    picture = image.read(path, rotate=True)
    labels = segmenter.labels(picture)
    write_labels(target, labels, segmenter.colours)
    image.write(drawn, overlay(picture, labels, segmenter.classes, segmenter.colours))
    return {
        "labels": target.name,
        "overlay": drawn.name,
        "shares": segmenter.shares(labels),
    }


def _write_key(out: Path, segmenter: Segmenter, entries: list[dict[str, Any]]) -> None:
    """Write what the labels mean: segments.json, and segments_legend.png for the overlays."""
    classes, colours = segmenter.classes, segmenter.colours
    content = {
        "classes": [
            {"label": index, "class": name, "colour": colours[index].tolist()}
            for index, name in enumerate(classes)
        ],
        "files": entries,
    }
    outputs.write_text(out / "segments.json", json.dumps(content, indent=1) + "\n")
    image.write(out / _LEGEND, legend(classes, range(len(classes)), colours, _LEGEND_WIDTH))


if __name__ == "__main__":
    command.run(main, WeightsError)
