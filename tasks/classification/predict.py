"""``python -m tasks.classification.predict --run runs/classification INPUT... --out DIR``.

INPUT are pictures or folders of them. Writes `predictions.json` with the best classes of each, and
each picture with them. ``--cam`` draws where the network sees its best class (or that of
``--target``); ``--compare SOURCE`` puts a second model beside it, as in the Res2Net paper's figure.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from backbone import deploy
from backbone.errors import WeightsError
from common import outputs
from common.commands import command, trained
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture, planes
from common.reading.left_out import LeftOut
from common.training import distributed
from tasks.classification import sample
from tasks.classification.cam import Stage, cam, grad_cam, heat
from tasks.classification.draw import Guess, Panel, overlay, row
from tasks.classification.inference import Opened, ScoredConfig, open_main, open_other
from tasks.classification.sample.painting import CLASSES
from tasks.classification.transforms import evaluation_image

SAMPLE_SEED = 1
"""Another seed than that of the set which is trained and scored."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Name what pictures show, and draw where it is seen."""

    inputs: tuple[Path, ...] = ()
    """Pictures and folders of pictures: the words that belong to no flag."""
    sample: int = 0
    """Instead of inputs, take so many freshly generated pictures, ten or more."""
    top: int = 5
    """Best classes that are listed."""
    cam: bool = False
    """Draw class activation maps over the pictures."""
    method: Literal["cam", "grad_cam"] = "cam"
    """How the maps are computed; at the last stage both are the same."""
    stage: Stage = "c5"
    """Stage of the backbone whose features are weighed; another than c5 needs grad_cam."""
    target: str | None = None
    """Class that the maps are of: its name, number or words; none takes each model's best."""
    compare: str | None = None
    """A second model beside the first: a run directory, a file or a published name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample and self.inputs:
            raise UserError("--sample: brings its own pictures; leave out the others")
        if self.sample < 0 or 0 < self.sample < len(CLASSES):
            raise UserError(f"--sample {self.sample}: must be at least {len(CLASSES)}, one a class")
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


@dataclass(frozen=True)
class Answer:
    """What one model says of one picture."""

    name: str
    """Of the model."""
    guesses: list[Guess]
    """Best first."""
    numbers: list[int]
    """Their classes."""
    heat: NDArray[np.float32] | None
    """(H, W) from 0 to 1 where maps are asked for."""
    mapped: str
    """What the map is of, for people."""


def ask(opened: Opened, picture: Picture, config: PredictConfig) -> Answer:
    """The best classes of a picture (S, S, 3), and the map of one."""
    device = next(opened.model.parameters()).device
    batch = torch.from_numpy(planes(picture))[None].to(device)
    low = config.precision == "bf16"
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=low):
        probabilities = opened.model(batch).float().softmax(dim=1)[0]
    best, numbers = probabilities.topk(min(config.top, len(opened.classes)))
    titles = opened.classes.titles
    guesses = [Guess(titles[k], p) for k, p in zip(numbers.tolist(), best.tolist(), strict=True)]
    if not config.cam:
        return Answer(opened.name, guesses, numbers.tolist(), None, "")
    chosen = int(numbers[0]) if config.target is None else opened.classes.index(config.target)
    target = torch.tensor([chosen], device=device)
    if config.method == "cam":
        maps = cam(opened.model, batch, target)
    else:
        maps = grad_cam(opened.model, batch, target, config.stage)
    stride: int = getattr(opened.model.backbone.strides, config.stage)
    shown = heat(maps, picture.shape[:2], stride)[0]
    mapped = titles[chosen].partition(",")[0]  # of ImageNet's synonyms the first
    if not shown.any():
        mapped = f"nothing for {mapped}"
    return Answer(opened.name, guesses, numbers.tolist(), shown, mapped)


def main() -> None:
    """Read the flags, and draw."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    if config.sample:
        with TemporaryDirectory() as folder:
            sample.write(Path(folder), seed=SAMPLE_SEED, train=0, val=config.sample)
            predict(config, sorted(Path(folder).rglob("*.jpg")))
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures or folders, such as predict --run "
            "runs/classification photos/"
        )
    predict(config, image.list_images(config.inputs))


def predict(config: PredictConfig, pictures: Sequence[Path]) -> None:
    """Draw every picture into config.out and write predictions.json there."""
    models = _open(config, distributed.start(config.engine.device).device)
    targets, names = outputs.targets(pictures, config.out, ".jpg"), outputs.names(pictures)
    entries: list[dict[str, Any]] = []
    left_out = LeftOut(config.data.on_error)
    for path in tqdm(pictures, desc="predicting", unit="picture", disable=not sys.stderr.isatty()):
        with left_out:
            cut = _center(path, config)
            answers = [ask(opened, cut, config) for opened in models]
            image.write(targets[path], row(_panels(path, cut, answers)))
            entries.append(_entry(names[path], targets[path], answers, models))
    outputs.write_text(config.out / "predictions.json", json.dumps(entries, indent=1))
    print(f"{len(entries)} pictures, drawn in {config.out}, listed in its predictions.json")
    left_out.report("pictures")


def _open(config: PredictConfig, device: torch.device) -> list[Opened]:
    """One model or two, which know the class that is asked for."""
    models = [open_main(config, device)]
    if config.compare is not None:
        models.append(open_other(config.compare, device))
    if config.compare is not None and models[0].name == models[1].name:
        sources = (str(config.run or config.checkpoint), config.compare)
        models = [
            replace(opened, name=f"{opened.name} ({Path(source).name})")
            for opened, source in zip(models, sources, strict=True)
        ]
    if config.target is not None:
        for opened in models:
            opened.classes.index(config.target)
    # No gradients flow through a deployed model.
    if config.deploys and not (config.cam and config.method == "grad_cam"):
        models = [replace(opened, model=deploy(opened.model)) for opened in models]
    return models


def _center(path: Path, config: PredictConfig) -> Picture:
    # People look at their pictures upright.
    return evaluation_image(image.content(path), str(path), config.test, rotate=True)


def _panels(path: Path, cut: Picture, answers: Sequence[Answer]) -> list[Panel]:
    """The picture itself, and one panel a model; without maps and comparison only one in all."""
    if all(answer.heat is None for answer in answers):
        names = [path.name] if len(answers) == 1 else [answer.name for answer in answers]
        return [
            Panel(name, cut, answer.guesses) for name, answer in zip(names, answers, strict=True)
        ]
    panels = [Panel(path.name, cut, [])]
    for answer in answers:
        assert answer.heat is not None
        panels.append(
            Panel(f"{answer.name}: {answer.mapped}", overlay(cut, answer.heat), answer.guesses)
        )
    return panels


def _entry(
    name: str, drawn: Path, answers: Sequence[Answer], models: Sequence[Opened]
) -> dict[str, Any]:
    said = [
        {
            "model": answer.name,
            "classes": [
                {
                    "class": opened.classes.names[number],
                    "title": guess.title,
                    "probability": round(guess.probability, 6),
                }
                for number, guess in zip(answer.numbers, answer.guesses, strict=True)
            ],
        }
        for answer, opened in zip(answers, models, strict=True)
    ]
    return {"file_name": name, "drawn": drawn.name, "models": said}


if __name__ == "__main__":
    command.run(main, WeightsError)
