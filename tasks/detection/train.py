"""``python -m tasks.detection.train``: train a detector; without flags, on sample data."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.detection import evaluate
from tasks.detection.annotations import Annotations
from tasks.detection.batches import collate
from tasks.detection.checkpoints import start_from
from tasks.detection.config import Config, ScoredConfig
from tasks.detection.data import TrainSet, order, read, with_classes
from tasks.detection.freeze import require_weights
from tasks.detection.model import Batch, build, targets_of


class DetectionTask:
    """What the engine asks of detection: the terms of a batch, and AP."""

    higher_is_better = True

    def __init__(self, config: Config, annotations: Annotations, world: World) -> None:
        self.config, self.annotations, self.world = config, annotations, world
        self.watch = evaluate.watched_metric(config)

    def loss(self, model: nn.Module, batch: Batch, _: Progress) -> dict[str, Tensor]:
        """Terms of one micro-batch, as the detector names them."""
        terms = model(batch["image"], batch["size"], targets_of(batch, self.config.model.masks))
        return {name.removeprefix("loss_"): term for name, term in terms.items()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.annotations, self.config, self.world).curves


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    require_weights(config)
    train_split = read(config, config.data.train_split)
    config = with_classes(config, train_split)
    run = training.begin(config)
    val_split = read(config, config.data.val_split)
    val_split.require_objects()
    training.announce(train_split, val_split, world)
    if world.main:
        orientation.report([*train_split.files, *val_split.files], config.data.orientation)
    train_split.tell_absent()
    val_split.tell_absent()
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, len(config.data.classes), config.model, config.test)
    start_from(model, config)
    samples = TrainSet(train_split, config.data)
    in_order = order(samples, config.engine.batch_size, config.engine.seed)
    data = TrainData(samples, in_order, config.loader.workers, config.data.on_error, collate)
    training.fit(config, world, run, model, DetectionTask(config, val_split, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
