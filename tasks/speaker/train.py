"""``python -m tasks.speaker.train``: train a speaker network; without flags, on sample data."""

from functools import partial

import torch
from torch import Tensor, nn

from common.commands import command, seen, training
from common.commands.config import parse
from common.training import distributed
from common.training.distributed import World
from common.training.task import Progress, TrainData
from tasks.speaker import evaluate, learnt
from tasks.speaker.conditions import quick_scores
from tasks.speaker.config import Config, ScoredConfig
from tasks.speaker.data import read, training_set
from tasks.speaker.loss import margin_loss
from tasks.speaker.material import Material
from tasks.speaker.model import build, start_from


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
    run = training.begin(config)
    before = learnt.learnt_before(config)
    material = read(config, before)
    if world.main:
        print(material.summary(), flush=True)
        seen.report(material.training.files, material.files())
    samples = training_set(material.training, material.root, config)
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config.backbone, config.model, samples.classes)
    start_from(model, config)
    task = SpeakerTask(config, material, len(samples), world)
    data = TrainData(samples, None, config.loader.workers, config.data.on_error)
    keep = partial(learnt.keep, material.training.names, before, config.out, world.main)
    training.fit(config, world, run, model, task, data, prepare=keep)
    evaluate.score(training.finished_run(ScoredConfig, config), world)


def main() -> None:
    """Read the flags, train, and leave a scored run directory."""
    config = parse(Config)
    with distributed.started(config.engine.device) as world:
        train(config, world)


if __name__ == "__main__":
    command.run(main)
