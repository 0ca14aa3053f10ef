"""How fast the network of every task's recipe is, on one picture of that recipe's size.

    python -m benchmarks.recipes
    python -m benchmarks.recipes depth detection --modes plain deployed --rounds 5

A row for each task: random weights and a random picture (a recording of two seconds), milliseconds
of the whole network, medians over rounds in which the modes take turns. "plain" is the network as
it was trained; "deployed", "compiled" and "onnxruntime" are what `--deploy`, `--compile` and
`--backend onnxruntime` of evaluate and predict make of it, the last for the trunk alone.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbone import deploy
from benchmarks.backbone import hardware
from common.commands import config as configuration
from common.commands import export, runtime
from common.commands.trained import Trained
from tasks.classification.model import build as classification
from tasks.depth.model import build as depth
from tasks.detection.model import build as detection
from tasks.interactive.model import build as interactive
from tasks.panoptic.model import build as panoptic
from tasks.pose.model import build as pose
from tasks.reid.model import build as reid
from tasks.salient.model import build as salient
from tasks.segmentation.model import build as segmentation
from tasks.speaker.model import build as speaker
from tasks.volumes.config import Config as VolumesConfig
from tasks.volumes.model import build as volumes

MODES = ("plain", "deployed", "compiled", "onnxruntime")
WARM_UP = 2


class Recipe(NamedTuple):
    """A task's recipe, and what its network is given."""

    name: str
    shape: tuple[int, ...]
    build: Callable[[Any], nn.Module]
    sizes: bool = False
    """Whether the network is told the height and width of its pictures."""


def named(config: VolumesConfig) -> VolumesConfig:
    """With the classes that the data would name."""
    data = replace(config.data, classes=("background", "liver", "tumour"))
    return replace(config, data=data)


RECIPES = {
    "classification": Recipe(
        "res2net50_26w_4s", (3, 224, 224), lambda c: classification(c.backbone, 1000, c.model)
    ),
    "pose": Recipe("res2net50_256x192", (3, 256, 192), lambda c: pose(c.backbone, 17)),
    "reid": Recipe("market_res2net50", (3, 256, 128), lambda c: reid(c.backbone, c.model)),
    "speaker": Recipe("res2net50_26w_8s", (32_000,), lambda c: speaker(c.backbone, c.model, None)),
    "salient": Recipe("res2net50", (3, 300, 400), lambda c: salient(c.backbone)),
    "segmentation": Recipe(
        "voc_res2net50_26w_4s", (3, 500, 375), lambda c: segmentation(c.backbone, 21, c.model)
    ),
    "depth": Recipe("nyu_res2net50", (3, 480, 640), depth),
    "interactive": Recipe("late_res2net50_sbd", (6, 500, 375), interactive),
    "volumes": Recipe("lits_res2net50_26w_4s", (3, 512, 512), lambda c: volumes(named(c))),
    "detection": Recipe(
        "mask_rcnn_res2net50_26w_4s",
        (3, 800, 1088),
        lambda c: detection(c.backbone, 80, c.model, c.test),
        sizes=True,
    ),
    "panoptic": Recipe(
        "panoptic_fpn_res2net50_v1b", (3, 800, 1088), lambda c: panoptic(c, 80, 53), sizes=True
    ),
}


def network(task: str) -> tuple[nn.Module, list[Tensor]]:
    """The network of a task's recipe with random weights, and what it is called with."""
    recipe = RECIPES[task]
    kind = importlib.import_module(f"tasks.{task}.config").Config
    config = configuration.parse(kind, ["--config", recipe.name])
    torch.manual_seed(0)
    net = recipe.build(config).eval()
    for name, value in net.state_dict().items():
        if name.endswith("bn3.weight"):
            value *= 0.25  # or random blocks add up to more than floats hold
    pictures = len(recipe.shape) == 3
    given = [torch.rand(1, *recipe.shape) * (255 if pictures else 1)]
    if recipe.sizes:
        given.append(torch.tensor([recipe.shape[1:]]))
    return net, given


def in_mode(net: nn.Module, mode: str, folder: Path) -> nn.Module:
    """The network as evaluate and predict would call it."""
    if mode == "plain":
        return net
    fast = deploy(net, compile=mode == "compiled")
    if mode == "onnxruntime":
        trunk: Any = net.get_submodule("backbone")
        file, weights = folder / "trunk.onnx", folder / "random.pt"
        weights.touch()
        export.write(runtime.graph(trunk), file, Trained(weights, {}, None))
        fast.add_module("backbone", runtime.RuntimeTrunk(file, trunk))
    return fast


def measure(task: str, modes: Sequence[str], rounds: int) -> dict[str, float]:
    """Milliseconds of each mode, by turns."""
    net, given = network(task)
    with TemporaryDirectory() as folder, torch.inference_mode():
        calls = {mode: partial(in_mode(net, mode, Path(folder)), *given) for mode in modes}
        for call in list(calls.values()) * WARM_UP:
            call()
        times: dict[str, list[float]] = {mode: [] for mode in modes}
        for _ in range(rounds):
            for mode, call in calls.items():
                start = time.perf_counter()
                call()
                times[mode].append(1000 * (time.perf_counter() - start))
    return {mode: statistics.median(values) for mode, values in times.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(RECIPES)}; all")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed")
    flags = parser.parse_args(arguments)
    unknown = [task for task in flags.tasks if task not in RECIPES]
    if unknown or flags.rounds < 1:
        wrong = unknown[0] if unknown else f"--rounds {flags.rounds}"
        print(f"error: {wrong}: give {', '.join(RECIPES)}, and a round or more", file=sys.stderr)
        return 2
    print(f"one input, fp32, medians of {flags.rounds}; {hardware(torch.device('cpu'))}\n")
    print(f"| task, recipe | input | {' | '.join(flags.modes)} |")
    print("| --- " * (2 + len(flags.modes)) + "|")
    for task in flags.tasks or RECIPES:
        recipe, found = RECIPES[task], measure(task, flags.modes, flags.rounds)
        first = next(iter(found.values()))
        cells = [f"{value:.0f} ({first / value:.2f})" for value in found.values()]
        size = "x".join(str(number) for number in recipe.shape[-2:])
        print(f"| {task}, {recipe.name} | {size} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
