"""``python -m tasks.reid.train``: train a re-identification network; without flags, on samples."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.reid import evaluate
from tasks.reid.batches import person_batches, rates
from tasks.reid.config import Config, ScoredConfig
from tasks.reid.data import Test, TrainSet, read, warn_of_overlap
from tasks.reid.loss import center_step, terms
from tasks.reid.model import ReidModel, build, start_from


class ReidTask:
    """What the engine asks of re-identification: its losses, and the scores of a search."""

    watch, higher_is_better = "mAP", True

    def __init__(self, config: Config, model: ReidModel, test: Test, world: World) -> None:
        self.config, self.model, self.test, self.world = config, model, test, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """The terms of one micro-batch; the centers of the center loss move on the way."""
        features, _, logits = model(batch["image"], batch["erased"])
        labels, centers, settings = batch["label"], self.model.centers, self.config.loss
        with torch.autocast(labels.device.type, enabled=False):
            named = terms(features, logits, labels, centers, settings)
            if centers is not None:
                step = center_step(features.detach(), labels, centers, settings.center_rate)
                # Micro-batches share no person, so it is as if all had moved them at once.
                centers += distributed.mean(step, self.world) / self.config.engine.accumulate
        return named

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores of the search for the queries in the gallery."""
        return evaluate.evaluate(model, self.test, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    run = training.begin(config)
    train_split, test = read(config, "train"), read(config, "test")
    training.announce(train_split, test, world)
    if world.main:
        warn_of_overlap(train_split, test, config.data)
        orientation.report([*train_split.files, *test.files], config.data.orientation)
    order = person_batches(train_split.labels, config, world.size)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    centers = config.loss.center_weight > 0
    model = build(config.backbone, config.model, train_split.persons, centers)
    start_from(model, config)
    samples = TrainSet(train_split, config.data)
    data = TrainData(samples, order, config.loader.workers, config.data.on_error)
    schedule = rates(config.optimizer, order.steps(config.engine.epochs), config.steady_rate)
    task = ReidTask(config, model, test, world)
    training.fit(config, world, run, model, task, data, schedule)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
