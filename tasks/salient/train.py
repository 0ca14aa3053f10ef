"""``python -m tasks.salient.train``: train a network; without flags, PoolNet on sample data."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.salient import evaluate
from tasks.salient.config import Config, ScoredConfig
from tasks.salient.data import TrainSet, read, read_training
from tasks.salient.inference import fresh
from tasks.salient.loss import terms
from tasks.salient.metrics import MAIN
from tasks.salient.published import LAYOUT
from tasks.salient.sets import PictureSet


class SalientTask:
    """What the engine asks of salient object detection: the losses of a batch, and MaxF."""

    watch, higher_is_better = "MaxF", True

    def __init__(self, config: Config, pictures: PictureSet, world: World) -> None:
        self.config, self.pictures, self.world = config, pictures, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """The terms of one micro-batch that the config asks for."""
        logits = model(batch["image"], batch.get("edge_image"))
        return terms(logits, batch, self.config.loss)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the first test set."""
        scores = evaluate.evaluate(model, self.pictures, self.config, self.world).scores
        return {name: scores.metrics[name] for name in MAIN}


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    config.check(world.size)
    run = training.begin(config)
    train_set, edges = read_training(config)
    test_set = read(config)[0]
    training.announce(train_set, test_set, world)
    if world.main:
        orientation.report([*train_set.files, *test_set.files], config.data.orientation)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = fresh(config)
    training.start_from(model, config, LAYOUT)
    samples = TrainSet(train_set, config.data, edges)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    # Tuning convolutions to each size that comes would never end.
    torch.backends.cudnn.benchmark &= config.data.fit != "native"
    training.fit(config, world, run, model, SalientTask(config, test_set, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
