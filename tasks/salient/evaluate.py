"""``python -m tasks.salient.evaluate --run runs/salient``: score a saliency model on test sets.

A published checkpoint without a run: ``--config RECIPE.yaml --checkpoint FILE.pth``. Any flag of
train wins over the run's config, such as ``--data.root`` and ``--data.test_sets``. Maps that exist
already need no model: ``--maps FOLDER --data.root data --data.test_sets '[ECSSD, DUTS-TE]'``.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from common.commands import command, config, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.salient import maps, report
from tasks.salient.config import Config, ModelConfig, ScoredConfig
from tasks.salient.data import ScoringSet, read, read_training
from tasks.salient.inference import Predictor, open_model, saliency_maps
from tasks.salient.metrics import Measured, measure, scores
from tasks.salient.report import Evaluation
from tasks.salient.sets import PictureSet


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ScoredConfig):
    """Score a model, or maps that exist already."""

    maps: Path | None = None
    """Folder with maps (or one folder of maps per test set), scored instead of a model."""
    map_suffix: str = ""
    """What the maps' names have behind those of the pictures, such as _sal_fuse."""


class Result(NamedTuple):
    """What is known of one picture."""

    measured: Measured
    same_size: bool
    """Whether picture (or map) and mask have one size."""
    lightest: int = 255
    """Greatest level of a map that exists already."""


def evaluate(model: nn.Module, pictures: PictureSet, settings: Config, world: World) -> Evaluation:
    """Score a model in eval mode on one set; called on all ranks, which share the work."""

    def step(batch: dict[str, Any]) -> list[Result]:
        return _measured(model, batch, settings.model)

    results: list[Result] = infer(
        ScoringSet(pictures, settings.data),
        step,
        batch_size=settings.engine.batch_size if settings.data.fit in ("stretch", "pad") else 1,
        workers=settings.loader.workers,
        world=world,
        title=f"evaluating {pictures.name}",
    )
    return _evaluation(results, pictures, world)


def _measured(model: nn.Module, batch: dict[str, Any], how: ModelConfig) -> list[Result]:
    contents = list(zip(batch["rows"].tolist(), batch["columns"].tolist(), strict=True))
    sizes = [(height, width) for height, width in batch["mask_size"].tolist()]
    found = saliency_maps(model(batch["image"]).saliency, contents, sizes, how)
    masks = [
        np.frombuffer(content, dtype=np.uint8).reshape(size)
        for content, size in zip(batch["mask"], sizes, strict=True)
    ]
    same = batch["same_size"].tolist()
    return [Result(measure(*pair), equal) for *pair, equal in zip(found, masks, same, strict=True)]


def evaluate_maps(
    pictures: PictureSet, files: Sequence[Path], settings: Config, world: World
) -> Evaluation:
    """Score the existing maps of one set; called on all ranks, which share the work."""

    def step(batch: dict[str, Tensor]) -> list[Result]:
        return [
            Result(Measured(outside, inside, stretched, *values), same, lightest)
            for outside, inside, stretched, *values, same, lightest in zip(
                *(batch[name].numpy() for name in ("outside", "inside", "stretched")),
                *(batch[name].tolist() for name in ("mean", "error", "structure", "weighted")),
                batch["same_size"].tolist(),
                batch["lightest"].tolist(),
                strict=True,
            )
        ]

    results: list[Result] = infer(
        maps.MapSet(pictures, files, settings.data),
        step,
        batch_size=16,
        workers=settings.loader.workers,
        world=world,
        title=f"scoring {pictures.name}",
    )
    lightest = [result.lightest for result in results]
    distributed.from_main(lambda: maps.require_levels(files[0].parent, pictures, lightest), world)
    return _evaluation(results, pictures, world)


def _evaluation(results: Sequence[Result], pictures: PictureSet, world: World) -> Evaluation:
    outcome = None
    if world.main and results:
        outcome = scores([result.measured for result in results])
    outcome = distributed.share(outcome, world)
    if outcome is None:
        raise UserError(f"{pictures.name}: not one of its {len(pictures)} pictures can be scored")
    return Evaluation(
        pictures=pictures,
        scores=outcome,
        skipped=len(pictures) - len(results),
        resized=sum(not result.same_size for result in results),
    )


def main() -> None:
    """Read the flags, score, and write cards, curves and pictures."""
    words = sys.argv[1:]
    maps, run = config.peek(EvaluateConfig, words, None, "maps", "run")
    if maps is None:
        settings = trained.parse(EvaluateConfig, words)
        with distributed.started(settings.engine.device) as world:
            score(settings, world)
        return
    if run is not None:
        raise UserError("--maps and --run: give one; maps are scored without a model")
    if not maps.is_dir():
        raise UserError(f"--maps {maps}: no such folder; give the one that holds the maps")
    out = trained.results_folder(maps.resolve().name)
    settings = config.parse(EvaluateConfig, ["--out", str(out), *words])
    trained.require_no_other_run(settings.out, None)
    with distributed.started("cpu") as world:
        score_maps(settings, world)


def score(settings: ScoredConfig, world: World) -> list[Evaluation]:
    """Score the config's checkpoint and write cards, curves and pictures into its `out`."""
    pictures = read(settings)
    if world.main:
        files = [file for one in pictures for file in one.files]
        seen.report_of_run(settings, Config, files, lambda own: read_training(own)[0].files)
        orientation.report(files, settings.data.orientation)
    model = open_model(settings, world.device)
    with model.running():
        evaluations = [evaluate(model.network, one, settings, world) for one in pictures]
    if world.main:
        cards = [report.model_card(settings, one, model) for one in evaluations]
        report.write(settings, evaluations, cards)
        report.write_pictures(settings, evaluations, Predictor(model, settings))
    return evaluations


def score_maps(settings: EvaluateConfig, world: World) -> list[Evaluation]:
    """Score the maps in `settings.maps`."""
    assert settings.maps is not None
    pictures = read(settings)
    alone = len(pictures) == 1
    files = [maps.find(settings.maps, settings.map_suffix, one, alone) for one in pictures]
    evaluations = [
        evaluate_maps(one, found, settings, world)
        for one, found in zip(pictures, files, strict=True)
    ]
    if world.main:
        cards = [report.maps_card(settings, one, settings.maps) for one in evaluations]
        report.write(settings, evaluations, cards)
    return evaluations


if __name__ == "__main__":
    command.run(main)
