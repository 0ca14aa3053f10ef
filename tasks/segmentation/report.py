"""What an evaluation leaves behind: the result card, the scores of every class and pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, fonts, plot
from common.commands.classes import absent, tell_unscored, unscored
from common.commands.confusion import Counts, class_scores
from common.commands.opened import Opened
from common.networks.segmentation import SegmentationModel
from common.reading import image
from tasks.segmentation.config import ScoredConfig
from tasks.segmentation.data import Split
from tasks.segmentation.draw import coloured, legend, mistakes
from tasks.segmentation.metrics import constant_scores
from tasks.segmentation.palette import Colours, colours_of

ROWS = 6
"""Pictures on the sheet that the command writes."""

_MOST_NUMBERS = 25
"""Classes up to which the numbers are written into the confusion matrix."""


class Prediction(NamedTuple):
    """What the model says of one picture; kept for those that are to be drawn."""

    picture: int
    """Its index in the split."""
    labels: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    metrics: dict[str, float]
    """mIoU, pixel_accuracy and mean_accuracy."""
    counts: Counts
    """Confusion matrix (C, C) over the whole split."""
    drawn: dict[int, NDArray[np.uint8]]
    """Predicted label maps by index of the picture, of some; on rank 0."""
    skipped: int
    """Pictures that could not be read."""


def write(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[SegmentationModel]
) -> None:
    """Print the tables; write metrics.json, classes.json and the pictures."""
    one = result_card(config, evaluation, split, model)
    rows = class_rows(evaluation.counts, split.classes)
    print(split.summary())
    print(one.table())
    print(class_table(rows))
    print(_constant(evaluation.counts, split.classes))
    tell_unscored(_absent(evaluation, split), "pixel", f"{len(split):,} label maps of {split.name}")
    pictures = config.out / "pictures"
    with outputs.written(config.out):
        named = {f"IoU {row['class']}": row["IoU"] for row in rows if row["IoU"] is not None}
        replace(one, metrics={**one.metrics, **named}).write(config.out / "metrics.json")
        content = {"classes": rows, "confusion_matrix": evaluation.counts.tolist()}
        outputs.write_text(config.out / "classes.json", json.dumps(content, indent=1) + "\n")
        pictures.mkdir(parents=True, exist_ok=True)
        draw_confusion(pictures / "confusion_matrix.png", evaluation.counts, split.classes)
        write_sheet(
            pictures / "predictions.jpg", evaluation, split, colours_of(config.data.label_colours)
        )
    print(f"wrote {config.out}/metrics.json, classes.json and pictures/")


def _protocol(config: ScoredConfig) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    test, data = config.test, config.data
    masks: dict[str, Any] = {"values": _listed(data.values)} if data.values else {}
    if data.unknown == "ignore":
        masks["unknown"] = "ignored"
    if data.palette:
        masks["palette"] = _listed(data.palette)
    windows = {} if test.window is None else {"window": list(test.window), "overlap": test.overlap}
    return {
        "scored_at": "original size",
        "short_side": test.short_side or "original",
        "scales": list(test.scales),
        "flip": test.flip,
        **windows,
        "classes": len(data.classes),
        "ignore_index": data.ignore_index,
        **masks,
    }


def _listed(entries: Any) -> Any:
    """Entries of a setting, by class or in their order, as JSON gives them back."""
    if isinstance(entries, dict):
        return {name: _listed(entry) for name, entry in entries.items()}
    return [_listed(entry) for entry in entries] if isinstance(entries, tuple) else entries


def result_card(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[SegmentationModel]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    return card.of(
        model,
        config,
        task="segmentation",
        metrics=evaluation.metrics,
        protocol=_protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": split.name,
            "images": len(split),
            "skipped": evaluation.skipped,
            "pixels": int(evaluation.counts.sum()),
            **unscored(_absent(evaluation, split), len(split.classes)),
            "fingerprint": split.fingerprint(),
        },
        packages=("numpy", "opencv-python", "segmentation-models-pytorch"),
        model={
            "decoder": config.model.decoder,
            "output_stride": config.model.output_stride,
        },
    )


def _absent(evaluation: Evaluation, split: Split) -> list[str]:
    """The classes of which no label map has a pixel; predicted somewhere, one counts as IoU 0."""
    return absent(evaluation.counts.sum(axis=1).tolist(), split.classes)


def class_rows(counts: Counts, classes: Sequence[str]) -> list[dict[str, Any]]:
    """IoU and accuracy of each class (None where nothing decides them), its share of the pixels."""
    scores = class_scores(counts)
    shares = counts.sum(axis=1) / max(1, int(counts.sum()))
    return [
        {
            "class": name,
            "IoU": None if np.isnan(iou) else float(iou),
            "accuracy": None if np.isnan(accuracy) else float(accuracy),
            "share": float(share),
        }
        for name, iou, accuracy, share in zip(
            classes, scores["IoU"], scores["accuracy"], shares, strict=True
        )
    ]


def class_table(rows: Sequence[dict[str, Any]]) -> str:
    """The classes' scores as text, one class per line."""
    width = max(len(row["class"]) for row in rows)
    lines = [f"{'class':{width}}     IoU  accuracy  share of pixels"]
    for row in rows:
        iou, accuracy = (
            "-" if row[name] is None else f"{row[name]:.4f}" for name in ("IoU", "accuracy")
        )
        lines.append(
            f"{row['class']:{width}}  {iou:>6}    {accuracy:>6}           {row['share']:.4f}"
        )
    return "\n".join(lines)


def _constant(counts: Counts, classes: Sequence[str]) -> str:
    scores = constant_scores(counts)
    return (
        f"for comparison, {classes[int(counts.sum(axis=1).argmax())]} everywhere: mIoU "
        f"{scores['mIoU']:.4f}, pixel_accuracy {scores['pixel_accuracy']:.4f}"
    )


def draw_confusion(path: Path, counts: Counts, classes: Sequence[str]) -> None:
    """Draw the confusion matrix in shares of the true classes, rows adding up to 1."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.42 * len(classes) + 1.8)
    with fonts.having(classes) as names:
        figure = plot.figure(side + 0.6, side)
        axes = figure.subplots()
        drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
        axes.set(xlabel="predicted class", ylabel="true class")
        if len(classes) <= _MOST_NUMBERS:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:
                    colour = "white" if share > 0.6 else "black"
                    axes.text(
                        column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour,
                        fontsize=7,
                    )  # fmt: skip
        figure.colorbar(drawn, label="share of the true class's pixels", shrink=0.7)
        figure.savefig(path, dpi=110)


def write_sheet(path: Path, evaluation: Evaluation, split: Split, colours: Colours) -> None:
    """Write rows of picture, labels, prediction and mistakes, with a legend below."""
    cells: list[NDArray[np.uint8]] = []
    titles: list[str] = []
    shown: set[int] = set()
    for index, predicted in sorted(evaluation.drawn.items()):
        sample = split.read(index)
        cells += [
            sample.image,
            coloured(sample.label, colours),
            coloured(predicted, colours),
            mistakes(sample.image, sample.label, predicted),
        ]
        name = split.pairs[index].image.stem
        titles += [name, "labels (white: ignored)", "prediction", "mistakes"]
        shown |= {*np.unique(sample.label).tolist(), *np.unique(predicted).tolist()}
    if not cells:
        return
    sheet = plot.grid(cells, 4, titles, cell=(240, 320))
    present = [index for index in range(len(split.classes)) if index in shown]
    below = legend(split.classes, present, colours, sheet.shape[1])
    image.write(path, np.concatenate([sheet, below]))
