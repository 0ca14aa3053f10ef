"""Pictures of a run: its curves, and sheets of sample pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.commands import fonts, lettering
from common.reading import image

_MARGIN = 6
_TITLE_HEIGHT = 22
_TITLE_SCALE = 0.45


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of this size in inches, whose parts keep clear of each other."""
    # Imported here: matplotlib takes a second that only who draws a chart should pay.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def curves(log: Path, path: Path) -> None:
    """Draw a run's ``log.jsonl``: loss terms over steps, metrics over epochs.

    Both axes of the loss are what the log says; the loss is drawn on a logarithmic scale, because
    dense regression losses fall over orders of magnitude.
    """
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if "step" in line and "loss" in line]
    epochs = [line for line in lines if "metrics" in line]
    with fonts.having(list(epochs[0]["metrics"]) if epochs else []) as names:
        chart = figure(10, 3.6)
        loss_axes, metric_axes = chart.subplots(1, 2)
        _loss_curves(loss_axes, steps)
        _metric_curves(metric_axes, epochs, names)
        chart.savefig(path, dpi=110)


def lines(
    path: Path,
    series: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
    xlabel: str,
    ylabel: str,
) -> None:
    """Draw named lines (x values, y values) into one square diagram with a grid and a legend.

    Where all x are whole numbers, such as clicks, so are the numbers below the axis.
    """
    with fonts.having(list(series)) as names:
        chart = figure(5.6, 5)
        axes = chart.subplots()
        for name, (x, y) in zip(names, series.values(), strict=True):
            axes.plot(x, y, label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(alpha=0.3)
        if all(np.asarray(x).dtype.kind == "i" for x, _ in series.values()):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if series:
            axes.legend(fontsize="small")
        chart.savefig(path, dpi=110)


def spread(length: int, count: int) -> list[int]:
    """Indices of at most so many of `length` things, evenly spread, the first one among them."""
    return sorted({place * length // count for place in range(count)}) if length else []


def sheet(
    pictures: Sequence[np.ndarray],
    path: Path,
    columns: int,
    titles: Sequence[str] = (),
    cell: tuple[int, int] = (256, 256),
) -> None:
    """Write pictures as one `grid` into a PNG or JPEG file."""
    image.write(path, grid(pictures, columns, titles, cell))


def grid(
    pictures: Sequence[np.ndarray],
    columns: int,
    titles: Sequence[str] = (),
    cell: tuple[int, int] = (256, 256),
) -> image.Picture:
    """Pictures as one grid (H, W, 3), each fitted into its cell without changing its shape.

    Args:
        pictures: uint8 (H, W, 3) RGB, of any sizes.
        columns: cells in a row.
        titles: one short text per picture, or none at all.
        cell: height and width of a cell in pixels.
    """
    height, width = cell
    top = _TITLE_HEIGHT if titles else 0
    rows = math.ceil(len(pictures) / columns)
    stride_y, stride_x = height + top + _MARGIN, width + _MARGIN
    canvas = np.full((rows * stride_y + _MARGIN, columns * stride_x + _MARGIN, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        y = (index // columns) * stride_y + _MARGIN
        x = (index % columns) * stride_x + _MARGIN
        if titles:
            _write_title(canvas, titles[index], x, y, width)
        _paste_fitted(canvas[y + top : y + top + height, x : x + width], picture)
    return canvas


def _loss_curves(axes: Any, steps: list[dict[str, Any]]) -> None:
    notes = {"step", "epoch", "samples", "learning_rate", "samples_per_second", "memory_mb"}
    terms = [name for name in (steps[0] if steps else {}) if name not in notes]
    if len(terms) == 2:  # a single term is the loss itself
        terms = ["loss"]
    for name in terms:
        axes.plot([line["step"] for line in steps], [line[name] for line in steps], label=name)
    if steps and min(line["loss"] for line in steps) > 0:
        axes.set_yscale("log")
    axes.set(xlabel="step", ylabel="training loss")
    axes.grid(alpha=0.3, which="both")
    if len(terms) > 1:
        axes.legend()


def _metric_curves(axes: Any, epochs: list[dict[str, Any]], names: Sequence[str]) -> None:
    for metric, name in zip(epochs[0]["metrics"] if epochs else [], names, strict=True):
        values = [line["metrics"][metric] for line in epochs]
        axes.plot([line["epoch"] + 1 for line in epochs], values, label=name, marker=".")
    axes.set(xlabel="epochs trained", ylabel="validation metrics")
    axes.grid(alpha=0.3)
    if epochs:
        axes.legend(fontsize="small")


def _write_title(canvas: np.ndarray, text: str, x: int, y: int, width: int) -> None:
    shown = lettering.fitted(text, _TITLE_SCALE, width)
    lettering.write(canvas, shown, x, y + 15, _TITLE_SCALE, (40, 40, 40))


def _paste_fitted(cell: np.ndarray, picture: np.ndarray) -> None:
    """Scale `picture` to fit `cell`, centre it, and write it there in place."""
    scale = min(cell.shape[0] / picture.shape[0], cell.shape[1] / picture.shape[1])
    height = max(1, round(picture.shape[0] * scale))
    width = max(1, round(picture.shape[1] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(picture, (width, height), interpolation=method)
    y, x = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    cell[:] = 238
    cell[y : y + height, x : x + width] = fitted
