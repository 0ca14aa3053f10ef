"""``python -m tasks.depth.predict --run runs/depth INPUT... --out DIR``: how far away things are.

INPUT are pictures, folders of pictures and videos. Of a picture NAME are written `NAME_depth.png`,
16 bits in millimetres, and `NAME_depth.jpg`, the depth in colours above a scale; on request also
`NAME_depth.npy` and `NAME_points.ply`. Of a video or a camera, an MP4 of the colours. `depth.json`
lists the files, with the nearest, median and farthest depth of each picture.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.depth import cloud, sample
from tasks.depth.config import ScoredConfig
from tasks.depth.draw import Span, coloured, span_of
from tasks.depth.inference import Depth, Predictor, open_model

Output = Literal["depth", "colours", "numbers", "points"]

SUFFIXES: dict[Output, str] = {
    "depth": "_depth.png", "colours": "_depth.jpg", "numbers": "_depth.npy",
    "points": "_points.ply",
}  # fmt: skip
MOST = 65535
"""The greatest level of 16 bits."""
MILLIMETRES, FINE = 1000, 256
"""Units of a metre in a PNG, the second one where millimetres do not reach --data.max_depth."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Tell how far away things are in pictures and videos."""

    outputs: tuple[Output, ...] = ("depth", "colours")
    """What is written of each picture: depth (16-bit PNG), colours, numbers (NPY), points (PLY)."""
    focal: float | None = None
    """Focal length of the pictures in pixels: needed for points."""
    span: tuple[float, float] | None = None
    """Metres at the two ends of the colours; none: each picture's own, and a video's first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.outputs:
            raise UserError(f"--outputs is empty; choose from {', '.join(SUFFIXES)}")
        if self.focal is not None and not 0 < self.focal < 1e6:
            raise UserError(f"--focal is {self.focal}; it must be above 0 pixels")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise UserError(f"--span is {list(self.span)}; it takes a near and a far end in metres")
        if "points" not in self.outputs:
            return
        if not self.metric:
            raise UserError("--outputs points: a run with --loss.name ssi knows no metres")
        if (self.focal or self.data.focal) is None:
            raise UserError(
                "--outputs points: where a pixel lies in space depends on the camera; say its "
                "--focal in pixels"
            )

    @property
    def png_scale(self) -> float:
        """Units of a metre in the PNG files."""
        return MILLIMETRES if self.data.max_depth * MILLIMETRES <= MOST else FINE


class Prediction:
    """What the loop of predict asks of depth."""

    def __init__(self, predictor: Predictor, config: PredictConfig) -> None:
        self.predictor, self.config = predictor, config
        self.spans: dict[Path, Span] = {}

    def find(self, source: Source, picture: Picture, frame: int | None) -> Depth:
        """The depth of a picture."""
        return self.predictor(picture)

    def write(self, source: Source, picture: Picture, found: Depth) -> list[Entry]:
        """Write what was asked for."""
        config, metric = self.config, self.predictor.metric
        names = {kind: f"{source.place}{SUFFIXES[kind]}" for kind in config.outputs}
        for kind, name in names.items():
            target = config.out / name
            match kind:
                case "depth":
                    image.write(target, levels(found.depth, config.png_scale, metric))
                case "colours":
                    image.write(target, coloured(found.depth, metric, config.span))
                case "numbers":
                    np.save(target, found.depth)
                case "points":
                    focal = config.focal or config.data.focal or 0.0
                    cloud.write(target, cloud.points(found.depth, focal), picture)
        files = {str(kind): name for kind, name in names.items()}
        return [{"file_name": source.name, **files, **self.predictor.describe(found)}]

    def frame(
        self, source: Source, picture: Picture, found: Depth, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """The colours of a video's frame, whose ends are those of its first one."""
        span = self.config.span or self.spans.setdefault(source.path, span_of(found.depth))
        return coloured(found.depth, self.predictor.metric, span), []

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Name what was written of a video."""
        file = str(target.relative_to(self.config.out))
        return [{"file_name": source.name, "colours": file, "frames": frames}]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write depth.json: what the numbers mean, and the files."""
        content = {**meaning(self.config), "files": list(entries)}
        outputs.write_text(self.config.out / "depth.json", json.dumps(content, indent=1) + "\n")


def levels(depth: NDArray[np.float32], scale: float, metric: bool) -> NDArray[np.uint16]:
    """What a PNG holds of a map (H, W): rounded units, or without metres 1 (far) to 65535 (near).

    0 is a hole to those who read it, so nothing is nearer than 1 unit.
    """
    if metric:
        return np.clip(np.round(depth.astype(np.float64) * scale), 1, MOST).astype(np.uint16)
    least, greatest = float(depth.min()), float(depth.max())
    share = (depth.astype(np.float64) - least) / max(greatest - least, 1e-12)
    return np.asarray(1 + np.round(share * (MOST - 1)), np.uint16)


def meaning(config: PredictConfig) -> dict[str, object]:
    """What the numbers in the files mean, for depth.json."""
    if not config.metric:
        return {
            "png": "inverse depth of each picture, 1 (far) to 65535 (near)",
            "metres": "none: the run was trained without metres (--loss.name ssi)",
        }
    focal = config.focal or config.data.focal
    return {
        "png_units_of_a_metre": config.png_scale,
        "metres": "as seen by a camera like that of the training: of one with k times its focal "
        "length (in pixels of the picture), true depth is about k times as large",
        **({} if focal is None else {"focal": focal}),
    }


def main() -> None:
    """Read the flags, and write depth."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write the depth of every picture and video into config.out, and depth.json there."""
    suffixes = [SUFFIXES[kind] for kind in config.outputs]
    clip = "_depth.mp4"
    with inputs.given(config, "predict --run runs/depth", generate) as found:
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
        print(f"depth of {done.pictures} pictures and {done.videos} videos in {config.out}")
        if config.metric:
            print("metres are those of a camera like the one of the training; see depth.json")
        done.report()


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=count, val=0)
    return image.list_images(sorted((folder / "train").glob("*.jpg")))


if __name__ == "__main__":
    command.run(main)
