"""``python -m tasks.segmentation.evaluate --run runs/segmentation``: score a segmentation model.

Pictures are scored in full size against their original label maps, all in one confusion matrix. Any
flag of train wins over the run's config, such as ``--data.root``, ``--data.val_split``,
``--test.scales '[0.5, 0.75, 1, 1.25, 1.5, 1.75]' --test.flip`` and ``--test.window '[769, 769]'``.
"""

import sys

import numpy as np
from torch import Tensor, nn

from common.commands import command, plot, seen, trained
from common.commands.confusion import Counts, confusion_matrix, mean_scores
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.segmentation import report
from tasks.segmentation.config import Config, ScoredConfig
from tasks.segmentation.data import ScoringSet, Split, read, with_classes
from tasks.segmentation.inference import open_model, segment
from tasks.segmentation.report import Evaluation, Prediction


def evaluate(model: nn.Module, split: Split, config: Config, world: World) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The counts are the same on every rank; only rank 0 has the predictions for the pictures.

    Raises:
        UserError: no pixel of the split has a label, or the model is broken.
    """
    shown = set(plot.spread(len(split), report.ROWS))
    counts: Counts = np.zeros((len(split.classes),) * 2, dtype=np.int64)

    def step(batch: dict[str, Tensor]) -> list[Prediction]:
        nonlocal counts
        index = int(batch["index"][0])
        predicted = segment(model, batch["image"], config.test)[0].cpu().numpy()
        labels = batch["label"][0].cpu().numpy()
        counts += confusion_matrix(labels, predicted, len(split.classes))
        return [Prediction(index, predicted if index in shown else None)]

    predictions: list[Prediction] = infer(
        ScoringSet(split, config.data.on_error),
        step,
        batch_size=1,  # pictures differ in size
        workers=config.loader.workers,
        world=world,
        title="evaluating",
    )
    # Whole numbers, so the sum is exact whatever the number of ranks.
    parts = distributed.gather([counts], world)
    total, scored = distributed.share((np.sum(parts, axis=0), len(predictions)), world)
    if not total.any():
        raise UserError(
            f"the split {split.name} has no labelled pixel: all labels are "
            f"--data.ignore_index {config.data.ignore_index}, or no picture could be read"
        )
    drawn = {picture: labels for picture, labels in predictions if labels is not None}
    return Evaluation(mean_scores(total), total, drawn, skipped=len(split) - scored)


def main() -> None:
    """Read the flags, score the model and write the card, the scores of classes and pictures."""
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
        orientation.report(split.files, config.data.orientation)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.network, split, config, world)
    if world.main:
        report.write(config, evaluation, split, model)
    return evaluation


if __name__ == "__main__":
    command.run(main)
