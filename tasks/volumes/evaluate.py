"""``python -m tasks.volumes.evaluate --run runs/volumes``: score a model on the cases of its fold.

Whole volumes are scored on their own voxels, in millimetres, case by case. Any flag of train wins
over the run's config, such as ``--data.root``, ``--data.val_split all``, ``--test.distances
medpy``, ``--test.window '[320, 320]'`` and ``--test.largest_component '[liver]'``.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from common.commands import command, plot, seen, trained
from common.errors import UserError
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.volumes import baselines, metrics, report
from tasks.volumes.baselines import Interval
from tasks.volumes.config import Config, ScoredConfig
from tasks.volumes.data import ScoringSet, Split, read, with_classes
from tasks.volumes.draw import compared
from tasks.volumes.inference import open_model, segment
from tasks.volumes.metrics import Scores
from tasks.volumes.report import Drawn, Evaluation


class Result(NamedTuple):
    """What is known of one case."""

    case: int
    """Its index in the split."""
    scores: dict[str, Scores]
    threshold: dict[str, float]
    """Dice of a threshold on HU, by region; empty if it was not asked for."""
    drawn: Drawn | None


def evaluate(
    model: nn.Module,
    split: Split,
    config: Config,
    world: World,
    intervals: Mapping[str, Interval] | None = None,
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the cases.

    The metrics are the same on every rank; only rank 0 has the rest.

    Raises:
        UserError: no case could be read, or the model is broken.
    """
    wanted = metrics.regions(split.classes, config.test)
    drawn = set(plot.spread(len(split), report.ROWS)) if intervals is not None else set()

    def step(batch: dict[str, Any]) -> list[Result]:
        index, volume, truth = batch["index"], batch["volume"], batch["labels"]
        found, _ = segment(model, volume, config, world.device)
        scores = metrics.score_case(truth, found, wanted, volume.spacing, config.test)
        guess = baselines.dice(volume.values, truth, wanted, intervals) if intervals else {}
        pictures = Drawn(*compared(volume, truth, found, config)) if index in drawn else None
        return [Result(index, scores, guess, pictures)]

    results: list[Result] = infer(
        ScoringSet(split, config.data),
        step,
        batch_size=1,
        workers=config.loader.workers,
        world=world,
        title="evaluating",
        collate=_alone,
    )
    scores: dict[str, float] | None = None
    if world.main and results:
        scores = metrics.summary([one.scores for one in results], config.test)
    scores = distributed.share(scores, world)
    if scores is None:
        raise UserError(f"the split {split.name} has no case to score: none could be read")
    return Evaluation(
        metrics=scores,
        cases={split.cases[one.case].name: one.scores for one in results},
        threshold=_threshold([one.threshold for one in results]) if intervals else {},
        drawn={split.cases[one.case].name: one.drawn for one in results if one.drawn is not None},
        skipped=len(split) - len(results),
    )


def _alone(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The one case of a batch, whose volume stays where it is."""
    return samples[0]


def _threshold(cases: list[dict[str, float]]) -> dict[str, float]:
    """Mean Dice of the threshold on HU, and that of each region."""
    if not cases:
        return {}
    every = {name: np.array([case[name] for case in cases]) for name in cases[0]}
    known = {name: values[~np.isnan(values)] for name, values in every.items()}
    means = {name: float(values.mean()) for name, values in known.items() if values.size}
    return {
        "Dice": float(np.mean(list(means.values()))) if means else metrics.UNDECIDED,
        **{f"Dice_{name}": value for name, value in means.items()},
    }


def main() -> None:
    """Read the flags, score the model and write the card, the cases and pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    config = with_classes(config)
    split = read(config, config.data.val_split)
    if world.main:
        seen.report_of_run(
            config, Config, split.files, lambda own: read(own, own.data.train_split).files
        )
    intervals = distributed.from_main(lambda: _intervals(config), world)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.network, split, config, world, intervals)
    if world.main:
        report.write(config, evaluation, split, model)
    return evaluation


def _intervals(config: Config) -> dict[str, Interval]:
    """What the training split says of HU; nothing where it is not there."""
    try:
        training = read(config, config.data.train_split)
        return baselines.learn(training, metrics.regions(training.classes, config.test))
    except UserError as error:
        print(f"note: no threshold beside the scores, for there is no training split: {error}")
        return {}


if __name__ == "__main__":
    command.run(main)
