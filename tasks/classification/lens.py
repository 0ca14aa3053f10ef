"""``python -m tasks.classification.lens --run runs/classification``: what the scales contribute.

A Res2Net block works on `scale` groups of channels, which see larger and larger surroundings: after
its first block, the first group of a stage sees 3x3, the second 5x5, and the last is passed on as
it is. For each stage and group, over pictures of the validation split:

- **energy**: the mean square of what the group adds to its block's output, before the shortcut: the
  group's channels through their columns of conv3, in the scale of bn3, without their mean over all
  pictures and places, which tells nothing about a picture. Given as the share of the stage, with
  the blocks weighed alike. The groups' parts may cancel or enforce each other, so that shares say
  who speaks, not who is right;
- **accuracy** when the group is switched off in all blocks of the stage: its channels, as conv3
  sees them, are held at their means, so that what follows still gets what it is used to. Within
  the hierarchy the next group still hears it.

Writes lens.json and the chart lens.png.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from backbone import Bottle2neck
from common import outputs
from common.commands import command, trained
from common.commands.opened import Opened
from common.errors import UserError
from common.training.distributed import World, choose_device
from tasks.classification import lens_chart
from tasks.classification.config import ScoredConfig
from tasks.classification.data import read_scored
from tasks.classification.evaluate import evaluate
from tasks.classification.inference import open_model
from tasks.classification.lens_chart import Measured
from tasks.classification.model import Classifier
from tasks.classification.pictures import Pictures, spread


@dataclass(frozen=True, kw_only=True)
class LensConfig(ScoredConfig):
    """Measure what each group of a Res2Net's blocks contributes."""

    pictures: int = 1000
    """Pictures of the validation split that are looked at, spread evenly over it; 0 takes all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pictures < 0:
            raise UserError(f"--pictures {self.pictures}: must be 0 or more")
        if self.compile:
            raise UserError("--compile: the lens looks into the network's layers; leave it out")


Blocks = Mapping[str, Sequence[Bottle2neck]]
"""The blocks of each stage."""


def stages_of(trunk: nn.Module) -> Blocks:
    """The Res2Net blocks of a trunk by the name of their stage.

    Raises:
        UserError: it has none, or blocks without groups.
    """
    found: dict[str, list[Bottle2neck]] = {}
    for name, module in trunk.named_modules():
        if isinstance(module, Bottle2neck):
            found.setdefault(name.split(".")[0], []).append(module)
    if not found or any(block.scale < 2 for blocks in found.values() for block in blocks):
        raise UserError(
            "--backbone: the lens looks at the groups of Res2Net blocks, and this one has none; "
            "choose a res2net"
        )
    return found


class Moments:
    """Means and covariances of what conv3 of one block sees, within each of its groups."""

    def __init__(self, scale: int, width: int) -> None:
        self.count = 0
        self.total = torch.zeros(scale, width, dtype=torch.float64)
        self.square = torch.zeros(scale, width, width, dtype=torch.float64)

    def add(self, seen: Tensor) -> None:
        """Take (B, scale * width, h, w) into account."""
        groups = seen.transpose(0, 1).reshape(*self.total.shape, -1).double().cpu()
        self.count += groups.shape[2]
        self.total += groups.sum(dim=2)
        self.square += groups @ groups.mT

    @property
    def mean(self) -> Tensor:
        """Means (scale, width)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Covariances (scale, width, width)."""
        return self.square / self.count - self.mean[:, :, None] * self.mean[:, None, :]


def group_energy(block: Bottle2neck, moments: Moments) -> Tensor:
    """Mean square (scale,) of what each group adds to the block's output around its mean.

    With W the group's columns of conv3 in bn3's scale and C its covariance, that is the trace of
    W C W^T.
    """
    norm = block.bn3
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    columns = (block.conv3.weight[:, :, 0, 0] * scale[:, None]).detach().double().cpu()
    weight = columns.reshape(len(columns), block.scale, -1).transpose(0, 1)
    energy: Tensor = ((weight @ moments.covariance) * weight).sum(dim=(1, 2))
    return energy


@contextmanager
def listening(blocks: Sequence[Bottle2neck]) -> Iterator[list[Moments]]:
    """Collect the moments of blocks while the network runs."""
    collected = [Moments(block.scale, block.conv3.in_channels // block.scale) for block in blocks]
    handles: list[RemovableHandle] = []
    for block, moments in zip(blocks, collected, strict=True):

        def listen(_: nn.Module, given: tuple[Tensor], moments: Moments = moments) -> None:
            moments.add(given[0])

        handles.append(block.conv3.register_forward_pre_hook(listen))
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def switched_off(
    blocks: Sequence[Bottle2neck], moments: Sequence[Moments], group: int
) -> Iterator[None]:
    """Hold one group of blocks at its means while the network runs."""
    handles: list[RemovableHandle] = []
    for block, seen in zip(blocks, moments, strict=True):
        held = seen.mean[group].to(block.conv3.weight)
        part = slice(group * len(held), (group + 1) * len(held))

        def hold(
            _: nn.Module, given: tuple[Tensor], part: slice = part, held: Tensor = held
        ) -> tuple[Tensor]:
            changed = given[0].clone()
            changed[:, part] = held[:, None, None].to(changed)
            return (changed,)

        handles.append(block.conv3.register_forward_pre_hook(hold))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def measure(found: Opened[Classifier], pictures: Pictures, config: LensConfig) -> Measured:
    """Energies and accuracies of a model as it was trained, in one process.

    Raises:
        UserError: the backbone has no groups.
    """
    model, world = found.model, World(device=found.device)
    stages = stages_of(model.backbone)
    every = [block for blocks in stages.values() for block in blocks]
    with listening(every) as collected:
        top1 = evaluate(model, pictures, config, world).metrics["top1"]
    by_block = dict(zip(every, collected, strict=True))
    energy: list[Tensor] = []
    without: list[list[float]] = []
    for name, blocks in stages.items():
        moments = [by_block[block] for block in blocks]
        parts = [group_energy(*pair) for pair in zip(blocks, moments, strict=True)]
        energy.append(torch.stack([part / part.sum() for part in parts]).mean(dim=0))
        without.append([])
        for group in range(blocks[0].scale):
            with switched_off(blocks, moments, group):
                left = evaluate(model, pictures, config, world).metrics["top1"]
            without[-1].append(left)
        print(f"{name}: top-1 without a group {', '.join(f'{one:.4f}' for one in without[-1])}")
    shares = torch.stack(energy).numpy()
    return Measured(tuple(stages), shares, top1, np.array(without), len(pictures))


def main() -> None:
    """Read the flags, measure, and draw."""
    config = trained.parse(LensConfig, sys.argv[1:], folder="lens")
    # A deployed network has other blocks.
    found = open_model(replace(config, deploy=False), choose_device(config.engine.device))
    pictures = spread(read_scored(config, found.weights), config.pictures)
    with found.running():
        measured = measure(found, pictures, config)
    content = {
        "backbone": config.backbone,
        "pictures": measured.pictures,
        "top1": measured.top1,
        "stages": list(measured.stages),
        "energy_share": measured.energy.round(6).tolist(),
        "top1_without": measured.without.round(6).tolist(),
    }
    with outputs.written(config.out):
        outputs.write_text(config.out / "lens.json", json.dumps(content, indent=1))
        lens_chart.draw(config.out / "lens.png", config.backbone, measured)
    print(
        f"top-1 {measured.top1:.4f} of {measured.pictures} pictures; wrote {config.out}/lens.json"
    )
    print(f"and the chart {config.out}/lens.png")


if __name__ == "__main__":
    command.run(main)
