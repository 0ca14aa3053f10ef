"""``python -m tasks.depth.evaluate --run runs/depth``: score a depth model.

Depth is resized to its ground truth; scores are taken of each picture, and then their mean. Any
flag of train wins over the run's config, such as ``--data.root``, ``--data.val_split``,
``--test.crop garg``, ``--test.align median`` and ``--test.flip``.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from common.commands import command, plot, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.depth import baselines, metrics, report
from tasks.depth.baselines import Baselines
from tasks.depth.config import Config, ScoredConfig
from tasks.depth.data import ScoringSet, Split, read
from tasks.depth.inference import depth_maps, open_model
from tasks.depth.metrics import Range
from tasks.depth.report import Evaluation


class Result(NamedTuple):
    """What is known of one picture."""

    picture: int
    """Its index in the split."""
    measured: dict[str, NDArray[np.float64]]
    """The scores (9,) of the model (MODEL) and of each guess; empty without a valid pixel."""
    pixels: int
    """That were scored."""
    beyond: int
    """Measured pixels farther than --data.max_depth."""
    depth: NDArray[np.float32] | None
    """The prediction (H, W) as it was scored, NaN where there is none; None if it is not drawn."""


MODEL = ""
"""Name of the model's own scores beside those of the guesses."""


def evaluate(
    model: nn.Module,
    split: Split,
    config: Config,
    world: World,
    guesses: Baselines | None = None,
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank; only rank 0 has the rest.

    Raises:
        UserError: no pixel of the split can be scored, or the model is broken.
    """
    shown = set(plot.spread(len(split), report.ROWS))

    def step(batch: dict[str, Any]) -> list[Result]:
        index, size = int(batch["index"][0]), tuple(batch["shown"][0].tolist())
        found = depth_maps(model, batch["image"], batch["focal"], size, config.test.flip)
        truth = batch["depth"][0].cpu().numpy()
        whole = pasted(found[0].cpu().numpy(), batch["place"][0].tolist(), truth.shape)
        result = score_picture(truth, whole, config, guesses, keep=index in shown)
        return [result._replace(picture=index)]

    results: list[Result] = infer(
        ScoringSet(split, config),
        step,
        batch_size=1,  # pictures differ in size
        workers=config.loader.workers,
        world=world,
        title="evaluating",
    )
    scores: dict[str, dict[str, float]] | None = None
    measured = [one for one in results if one.measured]
    if world.main and measured:
        scores = {
            name: metrics.means([one.measured[name] for one in measured])
            for name in measured[0].measured
        }
    scores = distributed.share(scores, world)
    if scores is None:
        raise UserError(
            f"the split {split.name} has no pixel to score: no picture could be read, or none has "
            f"depth between --data.min_depth {config.data.min_depth:g} and --data.max_depth "
            f"{config.data.max_depth:g} inside of --test.crop {config.test.crop}"
        )
    return Evaluation(
        metrics=scores.pop(MODEL),
        baselines=scores,
        drawn={one.picture: one.depth for one in results if one.depth is not None},
        pictures=len(measured),
        empty=len(results) - len(measured),
        skipped=len(split) - len(results),
        pixels=sum(one.pixels for one in results),
        beyond=sum(one.beyond for one in results),
    )


def pasted(
    depth: NDArray[np.float32], place: list[int], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """A prediction (h, w) in its place of the ground truth (H, W), NaN around it."""
    if depth.shape == size:
        return depth
    whole = np.full(size, np.nan, np.float32)
    whole[place[0] : place[0] + depth.shape[0], place[1] : place[1] + depth.shape[1]] = depth
    return whole


def score_picture(
    truth: NDArray[np.float32],
    predicted: NDArray[np.float32],
    config: Config,
    guesses: Baselines | None,
    keep: bool,
) -> Result:
    """The scores of a prediction (H, W), NaN where there is none, and of the guesses beside it.

    Raises:
        UserError: the crop is not defined for pictures of this size.
    """
    data, how = config.data, config.test.align
    limits = Range(data.min_depth, data.max_depth)
    try:
        inside = metrics.valid(truth, config.test.crop, limits)
    except ValueError as error:
        raise UserError(str(error)) from None
    inside &= ~np.isnan(predicted)
    gt, beyond = truth[inside], int(np.count_nonzero(truth >= limits.greatest))
    if not gt.size:
        return Result(0, {}, 0, beyond, None)
    bring = metrics.alignment(gt, predicted[inside], how, config.metric)
    depth = bring(predicted).astype(np.float32) if keep else None
    measured = {MODEL: metrics.measure(gt, metrics.clipped(bring(predicted[inside]), limits))}
    for name, guess in ({} if guesses is None else guesses.guesses(*truth.shape)).items():
        bring = metrics.alignment(gt, guess[inside], how, True)
        measured[name] = metrics.measure(gt, metrics.clipped(bring(guess[inside]), limits))
    return Result(0, measured, int(gt.size), beyond, depth)


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
    guesses = distributed.from_main(lambda: _guesses(config), world)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.network, split, config, world, guesses)
    if world.main:
        report.write(config, evaluation, split, model)
    return evaluation


def _guesses(config: Config) -> Baselines | None:
    """What the training split alone would guess; None where it is not there."""
    try:
        return baselines.learn(read(config, config.data.train_split))
    except UserError as error:
        print(f"note: no baselines beside the scores, for there is no training split: {error}")
        return None


if __name__ == "__main__":
    command.run(main)
