"""``python -m tasks.classification.train``: train a classifier; without flags, on sample data."""

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
from tasks.classification import evaluate, labels
from tasks.classification.augmentation import mixing
from tasks.classification.config import Config
from tasks.classification.data import Pictures, TrainSet, read_splits
from tasks.classification.inference import ScoredConfig, initialise
from tasks.classification.loss import cross_entropy
from tasks.classification.model import build


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
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    training, validation = read_splits(config)
    if world.main:
        print(f"training on {training.summary()}; scoring on {validation.summary()}")
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, len(training.classes), config.model)
    initialise(model, config, training.classes)
    steps, on_error = len(training) // config.engine.batch_size, config.data.on_error
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=ClassificationTask(config, validation, world),
        data=TrainData(TrainSet(training, config.data), None, config.loader.workers, on_error),
    )
    labels.keep(training.classes, config.out, world.main)
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
