"""``python -m tasks.classification.evaluate --run runs/classification``: top-1 and top-5 accuracy.

A published checkpoint without a run, as a name, a file of its authors, timm's or torchvision's:
``--config RECIPE.yaml --checkpoint FILE_OR_NAME --data.root IMAGENET``. Any flag of train wins over
the run's config, such as ``--test.input_size 320``, ``--test.crop 1`` and ``--data.val_list FILE``.
"""

import sys
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from backbone import WEIGHTS
from common.commands import command, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.classification import report
from tasks.classification.config import Config, ScoredConfig
from tasks.classification.data import ScoringSet, read, read_scored
from tasks.classification.inference import open_model, scores
from tasks.classification.metrics import accuracy, ranks
from tasks.classification.pictures import Pictures
from tasks.classification.report import Evaluation


class Answer(NamedTuple):
    """What the model says of one picture."""

    picture: int
    """Its number in the data set."""
    rank: int
    """Classes before the true one."""
    guess: int
    """The first class."""
    confidence: float
    """Its probability."""


def evaluate(model: nn.Module, pictures: Pictures, config: Config, world: World) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank.
    """
    dataset = ScoringSet(pictures, config)
    answers: list[Answer] = infer(
        dataset,
        lambda batch: _answers(model, batch),
        batch_size=config.engine.batch_size,
        workers=config.loader.workers,
        world=world,
        title="evaluating",
    )
    rank = np.array([answer.rank for answer in answers], dtype=np.int64)

    def metrics() -> dict[str, float]:
        if not answers:
            raise UserError(f"{pictures.split}: not one of its {len(dataset)} pictures can be read")
        return {"top1": accuracy(rank, 1), "top5": accuracy(rank, 5)}

    return Evaluation(
        metrics=distributed.from_main(metrics, world),
        index=np.array([answer.picture for answer in answers], dtype=np.int64),
        rank=rank,
        guess=np.array([answer.guess for answer in answers], dtype=np.int64),
        confidence=np.array([answer.confidence for answer in answers]),
        skipped=len(dataset) - len(answers) if world.main else 0,
    )


def _answers(model: nn.Module, batch: dict[str, Tensor]) -> list[Answer]:
    logits = scores(model, batch["image"])
    # Ranks and guesses by the logits: a softmax may round two of them to one probability.
    guess = logits.argmax(dim=1)
    confidence = logits.softmax(dim=1).gather(1, guess[:, None])[:, 0]
    columns = (batch["index"], ranks(logits, batch["label"]), guess, confidence)
    return [Answer(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def main() -> None:
    """Read the flags, score the model and write the card, the accuracies and the pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    model = open_model(config, world.device)
    pictures = read_scored(config, model.weights)
    if world.main:
        seen.report_of_run(
            config, Config, pictures.files, lambda own: read(own, own.data.train_split).files
        )
        orientation.report(pictures.files, config.data.orientation)
    _compare_protocols(config)
    with model.running():
        evaluation = evaluate(model.network, pictures, config, world)
    if world.main:
        report.write(config, evaluation, pictures, model)
    return evaluation


def _compare_protocols(config: ScoredConfig) -> None:
    """Say when a published checkpoint is not scored as it was published."""
    published, test = WEIGHTS.get(config.checkpoint), config.test
    if published is None or (test.input_size, test.crop) == (published.input_size, published.crop):
        return
    print(
        f"note: {published.name} was published at --test.input_size {published.input_size} "
        f"--test.crop {published.crop}; this score is at {test.input_size} and {test.crop}"
    )


if __name__ == "__main__":
    command.run(main)
