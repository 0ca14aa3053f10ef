"""What an evaluation leaves behind: the result card, the curve of clicks, and pictures."""

import json
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.reading import image
from tasks.interactive import metrics
from tasks.interactive.baselines import NAME
from tasks.interactive.clicks import Click
from tasks.interactive.config import Config, ScoredConfig
from tasks.interactive.data import Split
from tasks.interactive.draw import overlay
from tasks.interactive.metrics import NAMES
from tasks.interactive.model import InteractiveModel
from tasks.interactive.robot import Mask

ROWS = 6
"""Objects on the sheet that the command writes."""
_SHOWN = (1, 2, 3, 5)
"""Clicks after which they are shown."""


class Drawn(NamedTuple):
    """What a robot did on an object that is drawn."""

    clicks: list[Click]
    masks: list[Mask]
    """(H, W) after each click."""
    overlaps: list[float]


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    metrics: dict[str, float]
    """NoC and failures."""
    curve: list[float]
    """Mean overlap after each click. From here on, only rank 0 knows them."""
    baseline: NDArray[np.float64]
    """(N, K) overlaps of discs without a network; N is 0 where there are none."""
    drawn: dict[int, Drawn]
    """Of some objects, by their index."""
    objects: int
    """That were scored."""
    skipped: int
    """That could not be read."""
    seen: float
    """Seconds, the median, until a picture could be clicked on."""
    seconds: float
    """Seconds of a click, the median."""


def write(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[InteractiveModel]
) -> None:
    """Print the table; write metrics.json, the curve and the pictures."""
    one = result_card(config, evaluation, split, model)
    beside = {**one.data, "mIoU_after_clicks": [round(value, 6) for value in evaluation.curve]}
    if len(evaluation.baseline):
        beside["baselines"] = {NAME: metrics.summary(evaluation.baseline)}
    print(split.summary())
    print(one.table())
    print(table(evaluation))
    print(
        f"a picture takes {evaluation.seen:.3f} s until it can be clicked on, a click "
        f"{evaluation.seconds:.3f} s (medians)"
    )
    with outputs.written(config.out):
        replace(one, data=beside).write(config.out / "metrics.json")
        pictures = config.out / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        plot.lines(pictures / "clicks.png", _lines(evaluation), "clicks", "mean IoU")
        write_sheet(config, evaluation, split)
        times = {"picture": evaluation.seen, "click": evaluation.seconds, "unit": "s, medians"}
        outputs.write_text(config.out / "seconds.json", json.dumps(times) + "\n")
    print(f"wrote {config.out}/metrics.json, seconds.json and pictures/")


def _lines(evaluation: Evaluation) -> dict[str, tuple[NDArray[np.int64], list[float]]]:
    steps = np.arange(1, len(evaluation.curve) + 1)
    found = {"this model": (steps, evaluation.curve)}
    if len(evaluation.baseline):
        found[NAME] = (steps, metrics.curve(evaluation.baseline))
    return found


def table(evaluation: Evaluation) -> str:
    """The model's scores above those of the baseline, with the mean overlap after some clicks."""
    rows = [("", [*NAMES, *(f"mIoU@{step}" for step in _steps(evaluation))])]
    rows.append(("this model", _shown(evaluation.metrics, evaluation.curve, evaluation)))
    if len(evaluation.baseline):
        scores, curve = metrics.summary(evaluation.baseline), metrics.curve(evaluation.baseline)
        rows.append((NAME, _shown(scores, curve, evaluation)))
    wide = max(len(name) for name, _ in rows)
    return "\n".join(
        f"{name:{wide}}  " + "  ".join(cell.rjust(10) for cell in cells) for name, cells in rows
    )


def _steps(evaluation: Evaluation) -> list[int]:
    return [step for step in (1, 2, 3, 5, 10, 20) if step <= len(evaluation.curve)]


def _shown(scores: dict[str, float], curve: list[float], evaluation: Evaluation) -> list[str]:
    reached = [f"{curve[step - 1]:.3f}" for step in _steps(evaluation)]
    return [f"{scores[name]:.3f}" for name in NAMES] + reached


def protocol(config: Config) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    test, data = config.test, config.data
    where = {
        "deepest": "deepest pixel of the larger mistake, exact squared distances, ties negative",
        "random": "random pixel, at least half as deep as the deepest of the larger mistake",
    }
    return {
        "robot": where[test.place],
        "clicks": test.clicks,
        "start": "empty mask",
        "threshold": test.threshold,
        "structural": test.structural,
        "short_side": data.short_side or "original",
        "scored_at": "original size",
        "ignored": "pixels of no object: neither clicked on nor counted",
        "failures": f"objects never reached count {test.clicks} clicks",
        "without_mistakes": "no more clicks; the last overlap counts on",
        "mean": "over objects",
    }


def result_card(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[InteractiveModel]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    data = config.data
    return card.of(
        model,
        config,
        task="interactive",
        metrics=evaluation.metrics,
        protocol=protocol(config),
        data={
            "root": card.describe_root(data.val_root or data.root),
            "format": data.scored_format,
            "split": split.name,
            "images": len(split.files),
            "objects": evaluation.objects,
            "skipped": evaluation.skipped,
            "fingerprint": split.fingerprint(),
        },
        packages=("numpy", "opencv-python"),
        model={"network": config.model.network},
    )


def write_sheet(config: Config, evaluation: Evaluation, split: Split) -> None:
    """Write rows of an object and of its masks after some clicks."""
    cells: list[NDArray[np.uint8]] = []
    titles: list[str] = []
    for index, drawn in sorted(evaluation.drawn.items()):
        whole = split.read(index)
        cells.append(overlay(whole.image, whole.truth.mask, ()))
        titles.append(split.items[index].name)
        for step in _SHOWN:
            last = min(step, len(drawn.masks))
            cells.append(overlay(whole.image, drawn.masks[last - 1], drawn.clicks[:last]))
            titles.append(f"{last} click{'s' * (last > 1)}: IoU {drawn.overlaps[last - 1]:.2f}")
    if cells:
        sheet = plot.grid(cells, 1 + len(_SHOWN), titles, cell=(200, 240))
        image.write(config.out / "pictures" / "masks.jpg", sheet)
