"""``python -m tasks.classification.train``: train a classifier; without flags, on sample data."""

from functools import partial

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.classification import evaluate, labels
from tasks.classification.augmentation import mixing
from tasks.classification.checkpoints import start_from
from tasks.classification.config import Config, ScoredConfig
from tasks.classification.data import TrainSet, read_splits
from tasks.classification.loss import cross_entropy
from tasks.classification.model import build
from tasks.classification.pictures import Pictures


class ClassificationTask:
    """What the engine asks of classification: the cross entropy, and top-1 and top-5 accuracy."""

    watch, higher_is_better = "top1", True

    def __init__(self, config: Config, validation: Pictures, world: World) -> None:
        self.config, self.validation, self.world = config, validation, world
        self.mix = mixing(config.loss, len(validation.classes))
        self.smoothing = config.loss.label_smoothing

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """One term: the cross entropy of one micro-batch, whose pictures may be mixed."""
        images, target = self.mix(batch["image"], batch["label"])
        return {"cross_entropy": cross_entropy(model(images), target, self.smoothing)}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.validation, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    run = training.begin(config)
    train_split, val_split = read_splits(config)
    classes = train_split.classes
    training.announce(train_split, val_split, world)
    if world.main:
        orientation.report([*train_split.files, *val_split.files], config.data.orientation)
    val_split.tell_absent()
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, len(classes), config.model)
    start_from(model, config, classes)
    samples = TrainSet(train_split, config.data)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    task = ClassificationTask(config, val_split, world)
    keep = partial(labels.keep, classes, config.out, world.main)
    training.fit(config, world, run, model, task, data, prepare=keep)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
