"""``python -m tasks.segmentation.evaluate --run runs/segmentation``: score a segmentation model.

Pictures are scored in full size against their original label maps, all in one confusion matrix. Any
flag of train wins over the run's config, such as ``--data.root``, ``--data.val_split``,
``--test.scales '[0.5, 0.75, 1, 1.25, 1.5, 1.75]' --test.flip`` and ``--test.window '[769, 769]'``.
"""

import dataclasses
import sys
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from backbone import deploy
from backbone.errors import WeightsError
from common.commands import command, trained
from common.errors import UserError
from common.reading.voc import CLASS_FILE, own_classes
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.segmentation import report, sample
from tasks.segmentation.config import Config
from tasks.segmentation.data import ScoringSet, Split, class_names, read_split
from tasks.segmentation.inference import ScoredConfig, restore, segment
from tasks.segmentation.metrics import Counts, confusion_matrix, mean_scores
from tasks.segmentation.model import from_published
from tasks.segmentation.report import Evaluation, Prediction

AnyConfig = TypeVar("AnyConfig", bound=Config)

WATCHED = "mIoU"
"""The metric that chooses the best checkpoint."""


def with_classes(config: AnyConfig) -> AnyConfig:
    """The config with the names of its classes spelt out: a run says what its labels mean.

    Raises:
        UserError: nothing says which classes there are.
    """
    names = config.data.classes or class_names(config.data, root_of(config))
    return dataclasses.replace(config, data=dataclasses.replace(config.data, classes=names))


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def read_data(config: Config, split: str) -> Split:
    """A split of the data set; the config names its classes.

    Raises:
        UserError: files are missing, or the data set has other classes, or in another order.
    """
    root, names = root_of(config), config.data.classes
    own = own_classes(root)
    if own is not None and own != names and sorted(own) == sorted(names):
        raise UserError(
            f"--data.root {root}: its {CLASS_FILE} has the classes in another order "
            f"({', '.join(own)}) than the config ({', '.join(names)}); bring the labels and the "
            "file into this order"
        )
    return read_split(root, split, config.data)


def evaluate(model: nn.Module, split: Split, config: Config, world: World) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The counts are the same on every rank; only rank 0 has the predictions for the pictures.

    Raises:
        UserError: no pixel of the split has a label, or the model is broken.
    """
    shown = set(report.spread(len(split)))
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
    """Score the config's checkpoint and write everything there is to tell into config.out."""
    config = with_classes(config)
    weights = trained.find(config, from_published)
    split = read_data(config, config.data.val_split)
    model = restore(config, weights, world.device)
    fast = deploy(model) if config.deploys else model
    low = config.precision == "bf16"
    with torch.autocast(world.device.type, torch.bfloat16, enabled=low):
        evaluation = evaluate(fast, split, config, world)
    if world.main:
        report.write(config, evaluation, split, model, weights)
    return evaluation


if __name__ == "__main__":
    command.run(main, WeightsError)
