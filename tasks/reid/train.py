"""``python -m tasks.reid.train``: train a re-identification network; without flags, on samples."""

import torch
from torch import Tensor, nn

from backbone import WeightsError
from common.commands import command, plot
from common.commands.config import parse, to_yaml
from common.commands.trained import finished_run
from common.training import distributed, optim
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import Engine
from common.training.task import Progress, TrainData
from tasks.reid import evaluate
from tasks.reid.batches import person_batches, rates
from tasks.reid.config import Config
from tasks.reid.data import Test, TrainSet, read_sets
from tasks.reid.inference import ScoredConfig, fresh
from tasks.reid.loss import center_step, terms
from tasks.reid.model import ReidModel


class ReidTask:
    """What the engine asks of re-identification: its losses, and the scores of a search."""

    watch, higher_is_better = "mAP", True

    def __init__(self, config: Config, model: ReidModel, test: Test, world: World) -> None:
        self.config, self.model, self.test, self.world = config, model, test, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """The terms of one micro-batch; the centers of the center loss learn on the way."""
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
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    training, test = read_sets(config.data, announced=world.main)
    order = person_batches(training.labels, config, world.size)
    model = fresh(config, training.persons)
    workers, on_error = config.loader.workers, config.data.on_error
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=rates(config.optimizer, order.steps(config.engine.epochs), config.steady_rate),
        task=ReidTask(config, model, test, world),
        data=TrainData(TrainSet(training, config.data), order, workers, on_error),
    )
    engine.fit(config.resume)
    evaluate.score(finished_run(ScoredConfig, config), world)
    if world.main:
        plot.curves(run.log, config.out / "curves.png")


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main, WeightsError)
