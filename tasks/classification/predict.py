"""``python -m tasks.classification.predict --run runs/classification INPUT... --out DIR``.

INPUT are pictures, folders of pictures and videos. Writes `predictions.json` with the best classes
of each picture and frame, and each picture or video with them. ``--cam`` draws where the network
sees its best class (or that of ``--target``); ``--compare SOURCE`` puts a second model next to it,
as in the Res2Net paper's figure.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from backbone import detect
from common import outputs
from common.commands import command, inputs, journal, predicting, trained
from common.commands import config as configuration
from common.commands.inputs import SAMPLE_SEED, InputFlags, Source
from common.commands.journal import Entry
from common.commands.opened import opened
from common.commands.trained import Trained
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from common.training import distributed
from common.training.distributed import World
from tasks.classification import checkpoints, sample
from tasks.classification.cam import Method, Stage
from tasks.classification.config import Config, ScoredConfig
from tasks.classification.draw import Panel, overlay, row
from tasks.classification.inference import TOP, Classification, Predictor, open_model
from tasks.classification.model import LAYOUT, build
from tasks.classification.sample.painting import CLASSES

_DRAWN, _CLIP = ".jpg", ".mp4"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Name what pictures and videos show, and draw where it is seen."""

    sample: int = 0
    """Instead of inputs, take so many freshly generated pictures, ten or more."""
    top: int = TOP
    """Best classes that are listed."""
    cam: bool = False
    """Draw class activation maps over the pictures."""
    method: Method = "cam"
    """How the maps are computed; at the last stage both are the same."""
    stage: Stage = "c5"
    """Stage of the backbone whose features are weighed; another than c5 needs grad_cam."""
    target: str | None = None
    """Class that the maps are of: its name, number or words; none takes each model's best."""
    compare: str | None = None
    """A second model next to the first: a run directory, a file or a published name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.sample < len(CLASSES):
            raise UserError(
                f"--sample {self.sample}: must be at least {len(CLASSES)}, one per class"
            )
        if self.top < 1:
            raise UserError(f"--top {self.top}: must be at least 1")
        if self.stage != "c5" and self.method == "cam":
            raise UserError(
                f"--stage {self.stage}: --method cam knows the last stage only; say --method "
                "grad_cam"
            )
        if not self.cam:
            for flag, given in (("target", self.target), ("stage", self.stage != "c5")):
                if given:
                    raise UserError(f"--{flag}: is of the maps that --cam draws; add --cam")


class Model(NamedTuple):
    """One of the models that are asked."""

    name: str
    """What drawings and predictions.json call it."""
    predictor: Predictor
    target: int | None
    """The class that its maps are of; none is the best one."""


class Answer(NamedTuple):
    """What one model says of one picture."""

    found: Classification
    heat: NDArray[np.float32] | None
    """(S, S) from 0 to 1 over the middle of the picture, where maps are asked for."""
    mapped: str
    """What the map is of, for people."""


class Prediction:
    """What the loop of predict asks of classification."""

    def __init__(self, models: Sequence[Model], config: PredictConfig) -> None:
        self.models, self.config = models, config

    def find(self, source: Source, picture: Picture, frame: int | None) -> list[Answer]:
        """The answers of all models."""
        return [self._ask(model, picture) for model in self.models]

    def write(self, source: Source, picture: Picture, found: list[Answer]) -> list[Entry]:
        """Write the picture with what was found."""
        drawn = f"{source.place}{_DRAWN}"
        image.write(self.config.out / drawn, row(self._panels(source, picture, found)))
        return [{"file_name": source.name, "drawn": drawn, "models": self._listed(found)}]

    def frame(
        self, source: Source, picture: Picture, found: list[Answer], frame: int
    ) -> tuple[Picture, list[Entry]]:
        """A video's frame with what was found; its size depends on no picture."""
        named = {"file_name": source.name, "drawn": f"{source.place}{_CLIP}", "frame": frame}
        entry = {**named, "models": self._listed(found)}
        return row(self._panels(source, picture, found)), [entry]

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """A video has the entries of its frames alone."""
        return []

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write predictions.json."""
        text = json.dumps(list(entries), indent=1)
        outputs.write_text(self.config.out / "predictions.json", text)

    def _ask(self, model: Model, picture: Picture) -> Answer:
        predictor, config = model.predictor, self.config
        found = predictor(picture)
        if not config.cam:
            return Answer(found, None, "")
        number = int(found.best[0]) if model.target is None else model.target
        heat = predictor.heat(picture, number, config.method, config.stage)
        mapped = predictor.classes.titles[number].partition(",")[0]  # of synonyms the first
        return Answer(found, heat, mapped if heat.any() else f"nothing for {mapped}")

    def _panels(self, source: Source, picture: Picture, answers: list[Answer]) -> list[Panel]:
        """The picture itself, and one panel per model; without maps the models' alone."""
        cut = self.models[0].predictor.crop(picture)
        panels = [Panel(source.path.name, cut, [])] if self.config.cam else []
        for model, answer in zip(self.models, answers, strict=True):
            title = model.name if len(self.models) > 1 else source.path.name
            shown = cut
            if answer.heat is not None:
                title, shown = f"{model.name}: {answer.mapped}", overlay(cut, answer.heat)
            panels.append(Panel(title, shown, model.predictor.guesses(answer.found)))
        return panels

    def _listed(self, answers: list[Answer]) -> list[dict[str, Any]]:
        return [
            {"model": model.name, **model.predictor.describe(answer.found)}
            for model, answer in zip(self.models, answers, strict=True)
        ]


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Draw every picture and video into config.out, and write predictions.json there."""
    with inputs.given(config, "predict --run runs/classification", generate) as found:
        given = inputs.placed(found, config, config.out, (_DRAWN,), _CLIP)
        models = open_models(config, world.device)
        files = [model.predictor.opened.weights.file for model in models]
        done = predicting.each(
            given,
            Prediction(models, config),
            config.out,
            world,
            settings=" ".join(journal.digest(config, file) for file in files),
            resume=config.resume,
            workers=config.loader.workers,
            on_error=config.data.on_error,
            orientation=config.data.orientation,
            video_suffix=_CLIP,
        )
    if world.main:
        counts = f"{done.pictures} pictures and {done.videos} videos"
        print(f"{counts}, drawn in {config.out}, listed in its predictions.json")
        done.report()


def open_models(config: PredictConfig, device: torch.device) -> list[Model]:
    """One model or two, which know the class that is asked for.

    Raises:
        UserError, WeightsError: one cannot be had, or has no such class.
    """
    predictors = [Predictor(open_model(config, device), config, config.top)]
    if config.compare is not None:
        predictors.append(_open_other(config, config.compare, device))
    names = [predictor.config.backbone for predictor in predictors]
    if config.compare is not None and names[0] == names[1]:
        sources = (str(config.run or config.checkpoint), config.compare)
        names = [f"{names[0]} ({Path(source).name})" for source in sources]
    return [
        Model(name, one, None if config.target is None else one.classes.index(config.target))
        for name, one in zip(names, predictors, strict=True)
    ]


def _open_other(config: PredictConfig, source: str, device: torch.device) -> Predictor:
    """The model that --compare names, which is shown what the first one is shown."""
    weights = checkpoints.read(source, "--compare")
    own = _own_config(weights, source)
    settings = replace(
        config,
        backbone=own.backbone,
        model=own.model,
        data=replace(config.data, classes=None),  # names the first model's
    )
    model = build(own.backbone, checkpoints.class_count(weights), own.model)
    return Predictor(opened(settings, model, weights, LAYOUT.explain, device), settings, config.top)


def _own_config(weights: Trained, source: str) -> Config:
    """The config of a run; of a file the backbone alone is known, by the shapes of its weights."""
    kept = weights.file.with_name("config.yaml")
    if weights.epoch is not None and kept.is_file():
        return configuration.read(Config, kept)
    prefix = "backbone."
    state = weights.state.items()
    trunk = {key.removeprefix(prefix): value for key, value in state if key.startswith(prefix)}
    return Config(backbone=detect(trunk, source))


def generate(folder: Path, count: int) -> list[Path]:
    """Write pictures that no training has seen."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, val=count)
    return sorted(folder.rglob("*.jpg"))


if __name__ == "__main__":
    command.run(main)
