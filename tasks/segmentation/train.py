"""``python -m tasks.segmentation.train``: train a network; without flags, on sample data."""

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
from tasks.segmentation import evaluate
from tasks.segmentation.config import Config
from tasks.segmentation.data import Split, TrainSet
from tasks.segmentation.decoder import require_company
from tasks.segmentation.inference import ScoredConfig, initialise
from tasks.segmentation.loss import terms
from tasks.segmentation.model import build


class SegmentationTask:
    """What the engine asks of segmentation: the losses of a batch, and mIoU."""

    watch = evaluate.WATCHED
    higher_is_better = True

    def __init__(self, config: Config, split: Split, world: World) -> None:
        self.config, self.split, self.world = config, split, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """Weighted terms of one micro-batch."""
        scores = model(batch["image"])
        return terms(scores.main, scores.auxiliary, batch["label"], self.config.loss)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.split, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    require_company(config, world.size)
    config = evaluate.with_classes(config)
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    training = evaluate.read_data(config, config.data.train_split)
    validation = evaluate.read_data(config, config.data.val_split)
    if world.main:
        print(f"training on {training.summary()}; scoring on {validation.summary()}")
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, len(config.data.classes), config.model)
    initialise(model, config)
    steps, on_error = len(training) // config.engine.batch_size, config.data.on_error
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=SegmentationTask(config, validation, world),
        data=TrainData(TrainSet(training, config.data), None, config.loader.workers, on_error),
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
