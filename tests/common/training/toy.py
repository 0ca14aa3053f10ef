"""A toy task with everything that makes exact resuming hard, and jobs that run it."""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from common.errors import DamagedFile, UserError
from common.training import checkpoint, distributed, loading, optim
from common.training.checkpoint import RunDirectory
from common.training.engine import Engine, EngineConfig, Progress, TrainData
from common.training.evaluation import infer

ENGINE = {
    "epochs": 3,
    "batch_size": 8,
    "accumulate": 2,
    "ema": 0.9,
    "clip": 1.0,
    "log_every": 1,
    "save_every": 2,
    "device": "cpu",
}

TOY = {
    "workers": 0,
    "norm": True,
    "dropout": 0.3,
    "poison": 0,
    "steep": 0,
    "length": 36,
    "damaged": (),
    "on_error": "stop",
    "optimizer": "sgd",
    "order": None,
}

# Settings under which a few lines of plain PyTorch, or another number of ranks, give the same.
PLAIN = {"norm": False, "dropout": 0.0, "ema": 0.0}


class ToySet:
    """Bright left half or bright right half, under noise and a random flip up or down."""

    def __init__(self, length: int, damaged: tuple[int, ...] = ()):
        self.length = length
        self.damaged = damaged

    def __len__(self):
        return self.length

    def sample(self, index, generator):
        if index in self.damaged:
            raise DamagedFile(f"image{index}.png: cannot be read")
        image = generator.integers(0, 180, (3, 8, 8), dtype=np.uint8)
        half = slice(0, 4) if index % 2 else slice(4, 8)
        image[:, :, half] += np.uint8(60)
        if generator.random() < 0.5:
            image = image[:, ::-1].copy()
        return {"image": image, "label": index % 2}

    def __getitem__(self, index):
        if index in self.damaged:
            return None
        return self.sample(index, np.random.default_rng(index)) | {"index": index}


class RaisingSet(ToySet):
    """Raises for a damaged sample instead of leaving it out."""

    def __getitem__(self, index):
        return self.sample(index, np.random.default_rng(index)) | {"index": index}


class ToyModel(nn.Module):
    def __init__(self, norm: bool, dropout: float):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
        )
        self.head = nn.Linear(6 * 64, 2)

    def forward(self, images):
        return self.head(self.backbone(images.float() / 255 - 0.5).flatten(1))


class ToyTask:
    watch = "error"
    higher_is_better = False

    def __init__(self, world, poison: int, steep: int = 0):
        self.world, self.poison, self.steep = world, poison, steep
        self.validation = ToySet(10)

    def loss(self, model, batch, progress):
        outputs = model(batch["image"])
        entropy = nn.functional.cross_entropy(outputs, batch["label"])
        if progress.step + 1 == self.poison and self.world.rank == self.world.size - 1:
            entropy = entropy * float("nan")
        if progress.step + 1 == self.steep and self.world.rank == self.world.size - 1:
            entropy = entropy + (0 * outputs).sum().sqrt()  # zero, and its gradient is not finite
        return {"entropy": entropy, "size": 1e-3 * outputs.square().mean()}

    def evaluate(self, model):
        assert not model.training

        def step(batch):
            right = model(batch["image"]).softmax(1).gather(1, batch["label"][:, None])
            return (1 - right[:, 0]).tolist()

        errors = infer(
            self.validation, step, batch_size=4, workers=0, world=self.world, title="toy"
        )
        return distributed.share({"error": float(np.mean(errors or [0.0]))}, self.world)


def build(out: Path, world, **settings: Any) -> Engine:
    """An engine on the toy task; settings are EngineConfig's fields and those of TOY."""
    options = {**TOY, **settings}
    given = {name: value for name, value in settings.items() if name not in TOY}
    config = EngineConfig(**{**ENGINE, **given})
    torch.manual_seed(config.seed)
    model = ToyModel(options["norm"], options["dropout"])
    rule = optim.OptimizerConfig(name=options["optimizer"], learning_rate=0.05, warmup_epochs=0.5)
    text = json.dumps({"engine": vars(config), "length": options["length"]})
    return Engine(
        config=config,
        world=world,
        run=RunDirectory(out, text),
        model=model,
        optimizer=optim.build(model, rule),
        schedule=optim.schedule(rule, options["length"] // config.batch_size, 10),
        task=ToyTask(world, options["poison"], options["steep"]),
        data=TrainData(
            ToySet(options["length"], tuple(options["damaged"])),
            options["order"],
            options["workers"],
            options["on_error"],
        ),
    )


def engine(folder: Path, **settings: Any) -> Engine:
    """What `build` makes, on one rank and with its run in folder/run."""
    return build(folder / "run", distributed.World(), **settings)


def log_of(folder: Path, run: str = "run") -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / run / "log.jsonl").read_text().splitlines()]


def losses(folder: Path, run: str = "run") -> list[float]:
    """The loss of every step in a run's log."""
    return [line["loss"] for line in log_of(folder, run) if "loss" in line]


def train(out: str, resume: bool = False, **settings: Any) -> Progress:
    """Job: train the toy task."""
    world = distributed.start("cpu")
    progress = build(Path(out), world, **settings).fit(resume)
    distributed.stop()
    return progress


def train_and_leave(out: str, **settings: Any) -> None:
    """Job: train, and write which threads are left to this process."""
    train(out, **settings)
    threads = sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    Path(out, f"threads_{os.environ['RANK']}.json").write_text(json.dumps(threads))


def train_and_tell(out: str, told: str, **settings: Any) -> None:
    """Job: train, and write how the loader's workers ended, however the training does."""
    original = loading._end

    def end(batches: Any) -> None:
        original(batches)
        codes = [worker.exitcode for worker in getattr(batches, "_workers", [])]
        Path(told).write_text(json.dumps(codes))

    loading._end = end
    train(out, **settings)


def train_dying(out: str, resume: bool, write: int, where: str, **settings: Any) -> None:
    """Job: train and be killed in the n-th write of a checkpoint: half, whole, or renamed."""
    calls = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        original(descriptor)
        calls.append(descriptor)  # two a write: the file's, then the folder's
        if len(calls) == 2 * write - (where != "renamed"):
            if where == "half":
                os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = fsync
    train(out, resume, **settings)


def train_full(out: str, write: int, limit: int, **settings: Any) -> None:
    """Job: train until, from the n-th write of a checkpoint on, a file can have no more bytes."""
    calls = []
    original = checkpoint.save

    def save(path, payload):
        calls.append(path)
        if len(calls) == write:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        original(path, payload)

    checkpoint.save = save
    train(out, **settings)


def collectives(out: str, lengths: list[int]) -> None:
    """Job: every collective once, and inference over data sets of several lengths."""
    world = distributed.start("cpu")
    module = nn.BatchNorm1d(2)
    module.running_mean.fill_(world.rank + 1.0)
    distributed.share_buffers(module, world)
    results = {
        "gather": distributed.gather([world.rank, "x"], world),
        "share": distributed.share({"rank": world.rank}, world),
        "from_main": distributed.from_main(lambda: world.rank, world),
        "refused": _refused(world),
        "any": distributed.any_true(world.rank == world.size - 1, world),
        "none": distributed.any_true(False, world),
        "mean": distributed.mean(torch.tensor([float(world.rank)]), world).tolist(),
        "buffer": module.running_mean.tolist(),
        "infer": [_infer(ToySet(length), world) for length in lengths],
        "raised": [_raised(damaged, world) for damaged in ((), (6,), (6, 1))],
    }
    Path(out, f"{world.rank}.json").write_text(json.dumps(results))
    distributed.stop()


def _refused(world):
    """What a mistake of the user that only rank 0 sees becomes."""

    def refuse():
        raise UserError(f"rank {world.rank} says no")

    try:
        return distributed.from_main(refuse, world)
    except UserError as error:
        return f"refused: {error}"


def _infer(samples, world):
    return infer(
        samples, lambda batch: batch["index"].tolist(),
        batch_size=3, workers=0, world=world, title="toy",
    )  # fmt: skip


def _raised(damaged, world):
    """What a damaged file that one rank meets, or each its own, becomes."""
    try:
        return len(_infer(RaisingSet(8, damaged), world))
    except UserError as error:
        return str(error)


if __name__ == "__main__":
    train(sys.argv[1], "--resume" in sys.argv, epochs=100, save_every=0)
