"""``python -m tasks.interactive.train``: train a network; without flags, on generated scenes."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.interactive import evaluate
from tasks.interactive.config import Config, ScoredConfig
from tasks.interactive.corrections import corrected, inputs
from tasks.interactive.data import Split, TrainSet, read
from tasks.interactive.loss import terms
from tasks.interactive.model import LAYOUT, InteractiveModel, build


class InteractiveTask:
    """What the engine asks of interactive segmentation: losses, and how many clicks are needed."""

    watch, higher_is_better = "NoC85", False

    def __init__(self, config: Config, model: InteractiveModel, split: Split, world: World) -> None:
        self.config, self.model, self.split, self.world = config, model, split, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """Weighted terms of one micro-batch, after the network's own mistakes were corrected."""
        batch = corrected(self.model, batch, self.config.simulation)
        maps = model(inputs(batch, self.model.late))
        return terms(maps, batch["label"], batch["nearest"], batch["first"], self.config.loss)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        assert isinstance(model, InteractiveModel)
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
    training.start_from(model, config, LAYOUT, fit_stem=not model.late)
    samples = TrainSet(train_split, config)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    task = InteractiveTask(config, model, val_split, world)
    training.fit(config, world, run, model, task, data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
