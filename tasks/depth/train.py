"""``python -m tasks.depth.train``: train a network; without flags, on generated rooms."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.depth import evaluate
from tasks.depth.config import Config, ScoredConfig
from tasks.depth.data import Split, TrainSet, read
from tasks.depth.loss import terms
from tasks.depth.model import LAYOUT, build


class DepthTask:
    """What the engine asks of depth: the losses of a batch, and the relative error."""

    watch, higher_is_better = "AbsRel", False

    def __init__(self, config: Config, split: Split, world: World) -> None:
        self.config, self.split, self.world = config, split, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """Weighted terms of one micro-batch."""
        depth = model(batch["image"], batch["focal"])
        return terms(depth, batch["depth"], self.config.loss, self.config.data)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.split, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    run = training.begin(config)
    train_split, val_split = (
        read(config, config.data.train_split),
        read(config, config.data.val_split),
    )
    training.announce(train_split, val_split, world)
    if world.main:
        orientation.report([*train_split.files, *val_split.files], config.data.orientation)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config)
    training.start_from(model, config, LAYOUT)
    samples = TrainSet(train_split, config.data)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    training.fit(config, world, run, model, DepthTask(config, val_split, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
