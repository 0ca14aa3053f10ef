"""What the training engine costs over a bare loop.

    python -m benchmarks.engine

Both train the same model on the same samples, in one process and in alternating rounds, so that
whatever else the machine does meets both. The engine runs as in training: counted seeds, the watch
for losses that are not finite, signals, log lines, TensorBoard. A round lasts from an early loss to
the last, so that building and saving do not count; on the CPU its time is the processor time of
this process, which other programs disturb less. Printed: the median time of a step of each, and
the median over the pairs of rounds of their ratio.
"""

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from backbone import MODELS
from common.training import distributed, sampling
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import Engine, EngineConfig, Progress, TrainData
from common.training.evaluation import to_device


class Noise:
    """Images that cost nothing to make: the loop is measured, not the augmentation."""

    def __init__(self, length: int, size: int) -> None:
        self.length = length
        self.image = np.random.default_rng(0).integers(0, 255, (3, size, size), dtype=np.uint8)

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, generator: np.random.Generator) -> dict:
        """Always the same image (3, H, W)."""
        return {"image": self.image, "target": np.float32(index % 2)}


class Net(nn.Module):
    """A backbone with one output."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = MODELS[name]()
        self.head = nn.Linear(self.backbone.channels.c5, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) -> (B,)."""
        return self.head(self.backbone(images.float() / 255).c5.mean((2, 3)))[:, 0]


class Timed:
    """A task that notes when each step comes to its loss."""

    watch = "nothing"
    higher_is_better = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def loss(self, model: nn.Module, batch: dict, progress: Progress) -> dict[str, torch.Tensor]:
        """The mean square of the errors."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            self.times.append(time.perf_counter())
        else:
            self.times.append(time.process_time())
        return {"square": nn.functional.mse_loss(model(batch["image"]), batch["target"])}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """No scores: the steps are timed."""
        return {"nothing": 0.0}

    def step_seconds(self) -> float:
        """Mean time of a step, but for the first two, which warm caches up."""
        return (self.times[-1] - self.times[2]) / (len(self.times) - 3)


def engine_round(arguments: argparse.Namespace, world: World) -> float:
    """Seconds of a step of the engine."""
    model, data, task = build(arguments, world)
    config = EngineConfig(
        epochs=1,
        batch_size=arguments.batch,
        precision=arguments.precision,
        log_every=10,
        channels_last=False,  # the bare loop has the plain layout, and layouts differ in speed
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        Engine(
            config=config,
            world=world,
            run=RunDirectory(Path(folder), ""),
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9),
            schedule=lambda step: 1.0,
            task=task,
            data=TrainData(data),
        ).fit(resume=False)
    return task.step_seconds()


def bare_round(arguments: argparse.Namespace, world: World) -> float:
    """Seconds of a step of a loop that knows forward, backward and step only."""
    model, data, task = build(arguments, world)
    model = model.to(world.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    keys = [(0, index) for index in range(len(data))]
    loader: DataLoader = DataLoader(
        sampling.Counted(data, seed=0),
        sampler=keys,
        batch_size=arguments.batch,
        pin_memory=world.device.type == "cuda",
    )
    for batch in loader:
        batch = to_device(batch, world.device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            world.device.type, torch.bfloat16, enabled=arguments.precision == "bf16"
        ):
            loss = task.loss(model, batch, Progress())["square"]
        loss.backward()
        optimizer.step()
    return task.step_seconds()


def build(arguments: argparse.Namespace, world: World) -> tuple[Net, Noise, Timed]:
    torch.manual_seed(0)
    data = Noise(arguments.steps * arguments.batch, arguments.size)
    return Net(arguments.backbone), data, Timed(world.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="res2net26_14w_4s", choices=sorted(MODELS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=64, help="side of the images, pixels")
    parser.add_argument("--steps", type=int, default=30, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of rounds")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    if arguments.steps < 4:
        parser.error("--steps: must be at least 4, as the first three warm up")
    world = distributed.start(arguments.device)
    bare_round(arguments, world)  # warm up
    engine, bare = [], []
    for number in range(arguments.rounds):
        loops = (engine_round, bare_round) if number % 2 else (bare_round, engine_round)
        for loop in loops:
            (engine if loop is engine_round else bare).append(loop(arguments, world))
    ratio = np.median(np.divide(engine, bare))
    print(
        f"{arguments.backbone}, batch {arguments.batch} at {arguments.size} pixels, "
        f"{arguments.precision} on {world.device}, {torch.get_num_threads()} threads"
    )
    print(
        f"engine {1000 * np.median(engine):.2f} ms a step, "
        f"bare loop {1000 * np.median(bare):.2f} ms, ratio {ratio:.3f}"
    )


if __name__ == "__main__":
    main()
