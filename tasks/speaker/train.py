"""``python -m tasks.speaker.train``: train a speaker network; without flags, on sample data."""

import torch
from torch import Tensor, nn

from backbone.weights import WeightsError
from common.commands import command, plot
from common.commands.config import parse, to_yaml
from common.commands.trained import finished_run
from common.training import distributed, optim
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import Engine
from common.training.task import Progress, TrainData
from tasks.speaker import evaluate
from tasks.speaker.conditions import quick_scores
from tasks.speaker.config import Config
from tasks.speaker.data import training_set
from tasks.speaker.inference import ScoredConfig, initial_model
from tasks.speaker.loss import margin_loss
from tasks.speaker.material import Material, read_material


class SpeakerTask:
    """What the engine asks of speaker verification: the margin loss, and the EER of a list."""

    watch, higher_is_better = "EER", False

    def __init__(self, config: Config, material: Material, length: int, world: World) -> None:
        self.config, self.material, self.length, self.world = config, material, length, world

    def loss(
        self, model: nn.Module, batch: dict[str, Tensor], progress: Progress
    ) -> dict[str, Tensor]:
        """One term: the cross entropy of one micro-batch, with the margin of this moment."""
        cosines = model(batch["wave"], batch["masks"])
        epoch = progress.epoch + progress.samples / self.length
        return {"softmax": margin_loss(cosines, batch["label"], self.config.loss, epoch)}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the first trial list, by plain cosine."""
        return quick_scores(model, self.material, self.config, self.world)


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    material = read_material(config)
    if world.main:
        print(material.summary())
    dataset = training_set(material.training, material.root, config)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = initial_model(config, dataset.classes)
    steps, on_error = len(dataset) // config.engine.batch_size, config.data.on_error
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=SpeakerTask(config, material, len(dataset), world),
        data=TrainData(dataset, None, config.loader.workers, on_error),
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
