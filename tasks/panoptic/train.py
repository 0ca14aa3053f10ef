"""``python -m tasks.panoptic.train``: train a network; without flags, on generated scenes."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.detection.batches import collate
from tasks.detection.freeze import require_weights
from tasks.detection.model import Batch
from tasks.panoptic import evaluate
from tasks.panoptic.annotations import Split
from tasks.panoptic.checkpoints import start_from
from tasks.panoptic.config import Config, ScoredConfig
from tasks.panoptic.data import TrainSet, order, read, with_classes
from tasks.panoptic.model import build, targets_of


class PanopticTask:
    """What the engine asks of panoptic segmentation: the terms of a batch, and PQ."""

    watch, higher_is_better = "PQ", True

    def __init__(self, config: Config, split: Split, world: World) -> None:
        self.config, self.split, self.world = config, split, world

    def loss(self, model: nn.Module, batch: Batch, _: Progress) -> dict[str, Tensor]:
        """Terms of one micro-batch, as the model names them."""
        terms = model(batch["image"], batch["size"], targets_of(batch))
        return {name.removeprefix("loss_"): term for name, term in terms.items()}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.split, self.config, self.world).curves


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    require_weights(config)
    train_split = read(config, config.data.train_split)
    config = with_classes(config, train_split)
    run = training.begin(config)
    val_split = read(config, config.data.val_split)
    val_split.require_segments()
    training.announce(train_split, val_split, world)
    if world.main:
        orientation.report([*train_split.files, *val_split.files], config.data.orientation)
    train_split.tell_absent()
    val_split.tell_absent()
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config, len(config.data.things), len(config.data.stuff))
    start_from(model, config)
    samples, in_order = TrainSet(train_split, config.data), order(train_split, config)
    data = TrainData(samples, in_order, config.loader.workers, config.data.on_error, collate)
    training.fit(config, world, run, model, PanopticTask(config, val_split, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
