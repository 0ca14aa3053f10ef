"""``python -m tasks.salient.train``: train PoolNet; without flags, on generated sample data."""

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
from tasks.salient import evaluate
from tasks.salient.config import Config
from tasks.salient.data import TrainSet, train_sets
from tasks.salient.inference import ScoredConfig, initialised
from tasks.salient.loss import terms
from tasks.salient.metrics import MAIN
from tasks.salient.sets import PictureSet


class SalientTask:
    """What the engine asks of salient object detection: the losses of a batch, and MaxF."""

    watch = "MaxF"
    higher_is_better = True

    def __init__(self, config: Config, pictures: PictureSet, world: World) -> None:
        self.config, self.pictures, self.world = config, pictures, world

    def loss(self, model: nn.Module, batch: dict[str, Tensor], _: Progress) -> dict[str, Tensor]:
        """The terms of one micro-batch that the config asks for."""
        logits = model(batch["image"], batch.get("edge_image"))
        return terms(logits.saliency, logits.edges, batch, self.config.loss)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on the first test set."""
        scores = evaluate.evaluate(model, self.pictures, self.config, self.world).scores
        return {name: scores.metrics[name] for name in MAIN}


def train(config: Config, world: World) -> None:
    """Train, then score the best checkpoint: result card, pictures and curves."""
    config.check(world.size)
    run = RunDirectory(config.out, to_yaml(config))
    run.check(config.resume)
    training, edges = train_sets(config, evaluate.root(config))
    testing, data = evaluate.test_sets(config)[0], TrainSet(training, config.data, edges)
    if world.main:
        print(f"training on {len(training)} pictures; scoring on {len(testing)}", flush=True)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model, steps = initialised(config), len(data) // config.engine.batch_size
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=SalientTask(config, testing, world),
        data=TrainData(data, None, config.loader.workers, config.data.on_error),
    )
    # Tuning convolutions to each size that comes would never end.
    torch.backends.cudnn.benchmark &= config.data.fit != "native"
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
