"""The chart of the scale lens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.commands import plot

_COLOURS = ("#9ecae1", "#4292c6", "#2171b5", "#084594", "#6a51a3", "#807dba", "#9e9ac8", "#bcbddc")
_PASSED = "#fdae6b"


@dataclass(frozen=True)
class Measured:
    """What was measured, one row per stage and one column per group (stages, scale)."""

    stages: tuple[str, ...]
    energy: NDArray[np.float64]
    """Share of each group; rows sum to 1."""
    top1: float
    """Of the whole network."""
    without: NDArray[np.float64]
    """Top-1 when a group is switched off."""
    pictures: int


def draw(path: Path, title: str, measured: Measured) -> None:
    """Draw energy shares and losses of accuracy, a bar for each group of each stage."""
    figure = plot.figure(10, 3.8)
    left, right = figure.subplots(1, 2)
    _bars(left, measured.stages, 100 * measured.energy)
    left.set(ylabel="share of the energy, %", title="What each group adds to its blocks' outputs")
    lost = 100 * (measured.top1 - measured.without)
    _bars(right, measured.stages, lost)
    right.axhline(0, color="black", linewidth=0.8)
    right.set(ylabel="top-1 lost, points", title="Switched off in all blocks of a stage")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize="small")
    figure.suptitle(f"{title}: top-1 {measured.top1:.1%} of {measured.pictures:,} pictures")
    figure.savefig(path, dpi=110)


def group_names(scale: int) -> list[str]:
    """What each group sees within a block that is not the first of its stage."""
    seen = [f"group {k + 1}: {2 * k + 3}x{2 * k + 3}" for k in range(scale - 1)]
    return [*seen, f"group {scale}: passed on"]


def _bars(axes: Any, stages: tuple[str, ...], values: NDArray[np.float64]) -> None:
    scale = values.shape[1]
    width = 0.84 / scale
    for group, name in enumerate(group_names(scale)):
        places = np.arange(len(stages)) + (group - (scale - 1) / 2) * width
        colour = _PASSED if group == scale - 1 else _COLOURS[group % len(_COLOURS)]
        axes.bar(places, values[:, group], width * 0.92, label=name, color=colour)
    axes.set_xticks(np.arange(len(stages)), stages)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
