"""``python -m tasks.detection.train``: train a detector; without flags, on sample data."""

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
from tasks.detection import evaluate
from tasks.detection.annotations import Annotations
from tasks.detection.config import Config
from tasks.detection.data import TrainSet, collate, order
from tasks.detection.inference import ScoredConfig, initialise
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
    training = evaluate.read_split(config, config.data.train_split)
    config = evaluate.with_classes(config, training)
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    validation = evaluate.read_split(config, config.data.val_split)
    if world.main:
        print(f"training on {training.summary()}; scoring on {validation.summary()}")
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, len(training.classes), config.model, config.test)
    initialise(model, config)
    samples, batch_size = TrainSet(training, config.data), config.engine.batch_size
    in_order = order(samples, batch_size, config.engine.seed)
    steps = len(samples if in_order is None else in_order(0)) // batch_size
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=DetectionTask(config, validation, world),
        data=TrainData(samples, in_order, config.loader.workers, config.data.on_error, collate),
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
