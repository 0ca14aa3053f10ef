"""``python -m tasks.pose.train``: train a pose network; without flags, on generated sample data."""

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
from tasks.pose import evaluate
from tasks.pose.config import Config
from tasks.pose.data import Annotations, TrainSet
from tasks.pose.inference import ScoredConfig, initialise
from tasks.pose.loss import heatmap_loss
from tasks.pose.model import build


class PoseTask:
    """What the engine asks of pose estimation: the heat map loss, and AP (COCO) or PCKh (MPII)."""

    higher_is_better = True

    def __init__(self, config: Config, annotations: Annotations, world: World) -> None:
        self.config, self.annotations, self.world = config, annotations, world
        self.watch = evaluate.watched_metric(config)

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """One term: the squared error of the heat maps of one micro-batch."""
        heatmaps = model(batch["image"])
        return {"heatmap": heatmap_loss(heatmaps, batch["heatmaps"], batch["weights"])}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the validation split."""
        return evaluate.evaluate(model, self.annotations, self.config, self.world).metrics


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    training = evaluate.read_annotations(config, config.data.train_split)
    validation = evaluate.read_annotations(config, config.data.val_split)
    if world.main:
        print(f"training on {training.summary()}; scoring on {validation.summary()}")
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, training.skeleton.joints, config.model.head_channels)
    initialise(model, config)
    steps, on_error = len(training) // config.engine.batch_size, config.data.on_error
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=PoseTask(config, validation, world),
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
