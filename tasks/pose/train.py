"""``python -m tasks.pose.train``: train a pose network; without flags, on generated sample data."""

import torch
from torch import Tensor, nn

from common.commands import command, training
from common.commands.config import parse
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.pose import evaluate
from tasks.pose.config import Config, ScoredConfig
from tasks.pose.data import Annotations, TrainSet, read
from tasks.pose.loss import heatmap_loss
from tasks.pose.model import LAYOUT, build


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
    run = training.begin(config)
    train_split = read(config, config.data.train_split)
    val_split = read(config, config.data.val_split)
    val_split.require_persons()
    training.announce(train_split, val_split, world)
    if world.main:
        orientation.report([*train_split.files, *val_split.files], config.data.orientation)
    train_split.tell_absent()
    val_split.tell_absent()
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, train_split.skeleton.joints, config.model.head_channels)
    training.start_from(model, config, LAYOUT)
    samples = TrainSet(train_split, config.data)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    training.fit(config, world, run, model, PoseTask(config, val_split, world), data)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
