"""``python -m tasks.volumes.train``: train a network; without flags, on generated phantoms."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.networks.decoder import require_company
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.volumes import evaluate
from tasks.volumes.config import Config, ScoredConfig
from tasks.volumes.data import Split, TrainSet, read, with_classes
from tasks.volumes.loss import terms
from tasks.volumes.model import build, start_from


class VolumesTask:
    """What the engine asks of volumes: the losses of a batch, and the mean Dice."""

    watch, higher_is_better = "Dice", True

    def __init__(self, config: Config, split: Split, world: World) -> None:
        self.config, self.split, self.world = config, split, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """Weighted terms of one micro-batch."""
        return terms(model(batch["slices"]).main, batch["label"], self.config.loss)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the cases that are held out."""
        return evaluate.evaluate(model, self.split, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    require_company(config.engine, config.model.decoder, world.size)
    config = with_classes(config)
    run = training.begin(config)
    train_split, val_split = (
        read(config, config.data.train_split),
        read(config, config.data.val_split),
    )
    training.announce(train_split, val_split, world)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config)
    start_from(model, config)
    samples = TrainSet(train_split, config.data)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    training.fit(config, world, run, model, VolumesTask(config, val_split, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
