"""``python -m tasks.salient.predict --run runs/salient INPUT... --out DIR``: what stands out.

INPUT are pictures, folders of them, and videos. Of each picture are written the map (grey PNG), the
cut-out (PNG whose background is transparent) and an overlay; of each video, an MP4 of one of them.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import cv2
import numpy as np
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
from tasks.salient import sample
from tasks.salient.inference import ScoredConfig, find_saliency, restore
from tasks.salient.published import from_published

SAMPLE_SEED = 1
"""Another seed than that of the sets which are trained and scored."""

Output = Literal["map", "cutout", "overlay"]
Picture = NDArray[np.uint8]

TINT = np.array([255, 60, 30])
"""Red that is laid over what stands out."""
BACKGROUND = np.array([40, 160, 60])
"""Green behind a video's cut-outs, which cannot be transparent."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Find what stands out in pictures and videos."""

    inputs: tuple[Path, ...] = ()
    """Pictures, folders of pictures, and videos: the words that belong to no flag."""
    outputs: tuple[Output, ...] = ("map", "cutout", "overlay")
    """What is written of each picture."""
    video: Output = "overlay"
    """What is written of each video; a cut-out stands before green."""
    sample: int = 0
    """Instead of inputs, take so many freshly generated pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and self.inputs:
            raise UserError("--sample: brings its own pictures; leave out the inputs")
        if not self.outputs:
            raise UserError("--outputs is empty; choose from map, cutout and overlay")


def cutout(picture: Picture, saliency: Picture) -> Picture:
    """RGBA (H, W, 4) whose opacity is the map (H, W) of the picture (H, W, 3)."""
    return np.dstack([picture, saliency])


def overlay(picture: Picture, saliency: Picture) -> Picture:
    """The picture in grey where nothing stands out, and tinted with an outline where it does."""
    share = saliency[..., None] / np.float32(255)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    found = 0.8 * picture + 0.2 * TINT
    mixed = np.clip(0.6 * grey * (1 - share) + found * share, 0, 255).astype(np.uint8)
    outlines, _ = cv2.findContours(
        (saliency > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    thickness = max(1, round(max(saliency.shape) / 400))
    cv2.drawContours(mixed, outlines, -1, TINT.tolist(), thickness, cv2.LINE_AA)
    return np.asarray(mixed)


def on_background(picture: Picture, saliency: Picture) -> Picture:
    """What stands out of the picture, before plain green."""
    share = saliency[..., None] / np.float32(255)
    return (picture * share + BACKGROUND * (1 - share)).astype(np.uint8)


def grey(_: Picture, saliency: Picture) -> Picture:
    """The map as a picture (H, W, 3)."""
    return np.asarray(cv2.cvtColor(saliency, cv2.COLOR_GRAY2RGB), np.uint8)


Draw = Callable[[Picture, Picture], Picture]

# What is drawn of a picture, with the end of its file's name; and of a video's frame.
PICTURES: dict[Output, tuple[str, Draw]] = {
    "map": ("_map.png", lambda _, saliency: saliency),
    "cutout": ("_cutout.png", cutout),
    "overlay": ("_overlay.jpg", overlay),
}
FRAMES: dict[Output, Draw] = {"map": grey, "cutout": on_background, "overlay": overlay}


def main() -> None:
    """Read the flags, find what stands out, and write it."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    if config.sample:
        with TemporaryDirectory() as folder:
            sample.write(Path(folder), SAMPLE_SEED, train=0, test=config.sample, edge=0)
            predict(config, image.list_images([Path(folder) / "DUTS-TE" / "DUTS-TE-Image"]), [])
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures, folders or videos, such as predict --run runs/salient "
            "photos/"
        )
    videos = [path for path in config.inputs if video.is_video(path)]
    others = [path for path in config.inputs if not video.is_video(path)]
    predict(config, image.list_images(others) if others else [], videos)


def predict(config: PredictConfig, pictures: Sequence[Path], videos: Sequence[Path]) -> None:
    """Write what was asked for of every picture and video into config.out."""
    weights = trained.find(config, from_published)
    targets = {
        kind: outputs.targets(pictures, config.out, PICTURES[kind][0], videos)
        for kind in config.outputs
    }
    clips = outputs.targets(videos, config.out, f"_{config.video}.mp4", pictures)
    world = distributed.start(config.engine.device)
    model = restore(config, weights, world.device)
    if config.deploys:
        model = deploy(model)
    left_pictures, left_videos = LeftOut(config.data.on_error), LeftOut(config.data.on_error)
    for path in tqdm(pictures, desc="predicting", unit="picture", disable=not sys.stderr.isatty()):
        with left_pictures:
            _picture(model, config, path, targets)
    frames = 0
    for path in videos:
        with left_videos:
            frames += _video(model, config, path, clips[path])
    parts = [f"{left_pictures.kept} pictures"] if pictures else []
    parts += [f"{left_videos.kept} videos ({frames} frames)"] if videos else []
    print(f"{' and '.join(parts)} in {config.out}")
    left_pictures.report("pictures")
    left_videos.report("videos")


def _picture(
    model: nn.Module, config: PredictConfig, path: Path, targets: dict[Output, dict[Path, Path]]
) -> None:
    """Write a picture's files."""
    picture = image.read(path, rotate=True)  # people look at their pictures upright
    saliency = find_saliency(model, picture, config)
    for kind, files in targets.items():
        image.write(files[path], PICTURES[kind][1](picture, saliency))


def _video(model: nn.Module, config: PredictConfig, source: Path, target: Path) -> int:
    """Write a video's MP4; returns its frames."""
    draw = FRAMES[config.video]
    return video.transform(
        source, target, lambda frame: draw(frame, find_saliency(model, frame, config))
    )


if __name__ == "__main__":
    command.run(main, WeightsError)
