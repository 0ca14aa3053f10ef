"""``python -m tasks.interactive.evaluate --run runs/interactive``: how many clicks a robot needs.

A robot user clicks where the mask is wrong most, at most 20 times an object. NoC85 is the mean
number of clicks after which 85 % of mask and object overlap. Any flag of train wins over the run's
config, such as ``--data.val_root``, ``--data.val_format grabcut`` and ``--test.structural true``.
"""

import sys
import time
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from common.commands import command, plot, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.reading.image import planes
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.interactive import baselines, metrics, report
from tasks.interactive.baselines import Discs
from tasks.interactive.clicks import Click
from tasks.interactive.config import Config, ScoredConfig
from tasks.interactive.data import ScoringSet, Split, read
from tasks.interactive.inference import Features, begin, fit, open_model, see
from tasks.interactive.masks import IGNORED
from tasks.interactive.model import InteractiveModel
from tasks.interactive.report import Drawn, Evaluation
from tasks.interactive.robot import Mask, next_click, overlap


class Answering(Protocol):
    """What gives a mask for clicks: a session, or discs."""

    def click(self, x: int, y: int, positive: bool = True) -> Mask:
        """The mask (H, W) after one more click."""
        ...


class Played(NamedTuple):
    """What a robot did on one object."""

    clicks: list[Click]
    overlaps: list[float]
    """After each of the most clicks; where nothing was left to correct, the last one again."""
    seconds: list[float]
    """Of each click."""
    masks: list[Mask]
    """After each click."""


class Result(NamedTuple):
    """What is known of one object."""

    number: int
    """Of the object in the split."""
    overlaps: list[float]
    baseline: list[float]
    """Of discs; empty where there are none."""
    seen: float
    """Seconds until the picture could be clicked on."""
    seconds: list[float]
    """Of each click."""
    drawn: Drawn | None


def play(
    answering: Answering,
    truth: Mask,
    ignored: Mask,
    most: int,
    generator: np.random.Generator | None = None,
) -> Played:
    """A robot's clicks on an object, the first one on an empty mask.

    Args:
        answering: gives the masks.
        truth: (H, W) the object.
        ignored: (H, W) pixels that do not count.
        most: clicks.
        generator: as `robot.next_click` says.
    """
    played = Played([], [], [], [])
    mask = np.zeros_like(truth)
    while len(played.overlaps) < most:
        click = next_click(mask, truth, ignored, played.clicks, generator)
        if click is None:
            played.overlaps.append(overlap(mask, truth, ignored))
            continue
        begun = time.perf_counter()
        mask = answering.click(*click)
        played.seconds.append(time.perf_counter() - begun)
        played.clicks.append(click)
        played.masks.append(mask)
        played.overlaps.append(overlap(mask, truth, ignored))
    return played


def evaluate(
    model: InteractiveModel,
    split: Split,
    config: Config,
    world: World,
    radius: float | None = None,
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank; only rank 0 has the rest.

    Args:
        model: the network.
        split: whose objects are scored.
        config: of the run.
        world: the ranks.
        radius: of the discs of the baseline; none leaves it out.

    Raises:
        UserError: no object of the split can be read, or the model is broken.
    """
    shown = set(plot.spread(len(split), report.ROWS))

    def step(batch: dict[str, Any]) -> list[Result]:
        index = int(batch["index"][0])
        image, label = batch["image"][0].cpu().numpy(), batch["label"][0].cpu().numpy()
        found = score_object(model, image, label, config, world, radius, index)
        return [found if index in shown else found._replace(drawn=None)]

    results: list[Result] = infer(
        ScoringSet(split, config.data),
        step,
        batch_size=1,  # pictures differ in size
        workers=config.loader.workers,
        world=world,
        title="evaluating",
    )
    scores: dict[str, float] | None = None
    if world.main and results:
        scores = metrics.summary(np.array([one.overlaps for one in results]))
    scores = distributed.share(scores, world)
    if scores is None:
        raise UserError(f"the split {split.name} has no object to score: none could be read")
    return Evaluation(
        metrics=scores,
        curve=metrics.curve(np.array([one.overlaps for one in results])) if results else [],
        baseline=np.array([one.baseline for one in results if one.baseline], np.float64),
        drawn={one.number: one.drawn for one in results if one.drawn is not None},
        objects=len(results),
        skipped=len(split) - len(results),
        seen=float(np.median([one.seen for one in results] or [0.0])),
        seconds=float(np.median([each for one in results for each in one.seconds] or [0.0])),
    )


def score_object(
    model: InteractiveModel,
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    config: Config,
    world: World,
    radius: float | None,
    index: int,
) -> Result:
    """A robot's clicks on an object of a picture (H, W, 3), whose label is (H, W)."""
    test = config.test
    truth, ignored = label == 1, label == IGNORED
    begun = time.perf_counter()
    fitted = fit(image, config.data.short_side)
    given = torch.from_numpy(planes(fitted))[None].to(world.device)
    sizes = (image.shape[0], image.shape[1]), (fitted.shape[0], fitted.shape[1])
    session = begin(model, Features(*sizes, see(model, given)), test)
    seconds = time.perf_counter() - begun
    played = play(session, truth, ignored, test.clicks, _generator(config, index))
    discs: list[float] = []
    if radius is not None:
        guess = Discs(truth.shape[0], truth.shape[1], radius**2)
        discs = play(guess, truth, ignored, test.clicks, _generator(config, index)).overlaps
    drawn = Drawn(played.clicks, played.masks, played.overlaps)
    return Result(index, played.overlaps, discs, seconds, played.seconds, drawn)


def _generator(config: Config, index: int) -> np.random.Generator | None:
    """Where the robot draws its places, the same for the same object every time."""
    return np.random.default_rng([7, index]) if config.test.place == "random" else None


def main() -> None:
    """Read the flags, score the model and write the card and pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    split = read(config, config.data.val_split)
    if world.main:
        seen.report_of_run(
            config, Config, split.files, lambda own: read(own, own.data.train_split).files
        )
        orientation.report(split.files, config.data.orientation)
    radius = distributed.from_main(lambda: _radius(config), world)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.layers, split, config, world, radius)
    if world.main:
        report.write(config, evaluation, split, model)
    return evaluation


def _radius(config: Config) -> float | None:
    """The discs of the baseline, which the training split tells; None where it is not there."""
    try:
        return baselines.learn(read(config, config.data.train_split))
    except UserError as error:
        print(f"note: no discs beside the scores, for there is no training split: {error}")
        return None


if __name__ == "__main__":
    command.run(main)
