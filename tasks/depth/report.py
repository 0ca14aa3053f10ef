"""What an evaluation leaves behind: the result card, the baselines beside it, and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.reading import image
from tasks.depth import metrics
from tasks.depth.config import Config, ScoredConfig
from tasks.depth.data import Split, required_kb
from tasks.depth.draw import coloured, span_of
from tasks.depth.metrics import NAMES, Range
from tasks.depth.model import DepthModel
from tasks.depth.transforms import cut

ROWS = 6
"""Pictures on the sheet that the command writes."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    metrics: dict[str, float]
    """The nine scores."""
    baselines: dict[str, dict[str, float]]
    """Those of guesses that do not look at the picture, on the same pixels."""
    drawn: dict[int, NDArray[np.float32]]
    """Predictions (H, W) as they were scored, by index of the picture, of some; on rank 0."""
    pictures: int
    """That were scored. From here on, only rank 0 knows them."""
    empty: int
    """Pictures without a pixel to score."""
    skipped: int
    """Pictures that could not be read."""
    pixels: int
    """That were scored."""
    beyond: int
    """Measured pixels that are too far away to count."""


def write(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[DepthModel]
) -> None:
    """Print the table; write metrics.json and the pictures."""
    one = result_card(config, evaluation, split, model)
    print(split.summary())
    print(one.table())
    print(table(evaluation))
    for line in counts(config, evaluation):
        print(line)
    with outputs.written(config.out):
        beside = {**one.data, "baselines": evaluation.baselines}
        replace(one, data=beside).write(config.out / "metrics.json")
        (config.out / "pictures").mkdir(parents=True, exist_ok=True)
        write_sheet(config, evaluation, split)
    print(f"wrote {config.out}/metrics.json and pictures/")


def table(evaluation: Evaluation) -> str:
    """The model's scores above those of the baselines."""
    rows = [("", list(NAMES)), ("this model", _shown(evaluation.metrics))]
    rows += [(name, _shown(scores)) for name, scores in evaluation.baselines.items()]
    wide = max(len(name) for name, _ in rows)
    return "\n".join(
        f"{name:{wide}}  " + "  ".join(cell.rjust(8) for cell in cells) for name, cells in rows
    )


def _shown(scores: Mapping[str, float]) -> list[str]:
    return [f"{scores[name]:.4f}" for name in NAMES]


def counts(config: Config, evaluation: Evaluation) -> list[str]:
    """A line for what was not scored, if anything was not."""
    lines = []
    if evaluation.empty:
        lines.append(f"{evaluation.empty:,} pictures have no pixel to score and do not count")
    if evaluation.beyond:
        lines.append(
            f"{evaluation.beyond:,} measured pixels are not nearer than --data.max_depth "
            f"{config.data.max_depth:g} m and do not count"
        )
    return lines


def protocol(config: Config) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    kb = {
        "paste": "network sees 352x1216 (KB crop), pasted back: crop of the whole picture",
        "cut": "ground truth cut to 352x1216 (KB crop) first: crop of that",
    }
    return {
        "crop": test.crop,
        **({"kb_crop": kb[test.kb]} if data.kb_crop else {}),
        "min_depth": data.min_depth,
        "max_depth": data.max_depth,
        "alignment": {
            "none": "none",
            "median": "per picture, by the ratio of medians",
            "least_squares": "per picture, scale and shift of inverse depth by least squares",
        }[test.align],
        "predicts": "metres" if config.metric else "inverse depth without metres",
        "flip": test.flip,
        "short_side": data.short_side or "original",
        "scored_at": "size of the ground truth",
        "mean": "over pictures",
        **(
            {"focal_reference": config.model.focal_reference}
            if config.model.focal_reference
            else {}
        ),
    }


def result_card(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[DepthModel]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    return card.of(
        model,
        config,
        task="depth",
        metrics=evaluation.metrics,
        protocol=protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": split.name,
            "images": evaluation.pictures,
            "skipped": evaluation.skipped,
            "without_depth": split.without,
            "without_valid_pixels": evaluation.empty,
            "pixels": evaluation.pixels,
            "fingerprint": split.fingerprint(),
        },
        packages=("numpy", "opencv-python"),
        model={"decoder": config.model.decoder},
    )


def write_sheet(config: Config, evaluation: Evaluation, split: Split) -> None:
    """Write rows of picture, true depth, prediction and error, each row with one range of colours.

    Predictions are drawn as they were scored: aligned, if that was asked for.
    """
    cells: list[NDArray[np.uint8]] = []
    titles: list[str] = []
    limits = Range(config.data.min_depth, config.data.max_depth)
    for index, predicted in sorted(evaluation.drawn.items()):
        sample = split.read(index)
        if sample.depth.shape != predicted.shape:  # the ground truth was cut
            sample = cut(sample, required_kb(split.files[index], sample))
        truth = sample.depth
        inside = metrics.valid(truth, "none", limits)
        seen = ~np.isnan(predicted)
        scored = np.where(seen, metrics.clipped(predicted, limits), 0)
        ends = span_of(np.where(inside, truth, 0))
        error = np.where(inside & seen, np.abs(scored - truth) / np.maximum(truth, 1e-9), 0)
        cells += [
            sample.image,
            coloured(truth, span=ends),
            coloured(scored, span=ends),
            _error(error),
        ]
        name = split.files[index].stem
        titles += [name, "true depth (grey: none)", "prediction", "relative error, 0 to 30 %"]
    if cells:
        folder = config.out / "pictures"
        image.write(folder / "depth.jpg", plot.grid(cells, 4, titles, cell=(240, 320)))


def _error(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Relative errors (H, W) in white to red."""
    level = (255 * np.clip(share / 0.3, 0, 1)).astype(np.uint8)
    full = np.full_like(level, 255)
    return np.stack([full, 255 - level, 255 - level], axis=-1)
