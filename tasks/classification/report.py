"""What an evaluation leaves behind: the result card, the accuracy of each class, and pictures."""

import csv
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.classes import tell_unscored, unscored
from common.commands.opened import Opened
from common.reading.image import Picture
from tasks.classification.config import ScoredConfig
from tasks.classification.metrics import per_class
from tasks.classification.model import Classifier
from tasks.classification.pictures import Pictures
from tasks.classification.transforms import evaluation_image

PICTURES = 12
"""Pictures on the sheet that the command writes."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation. Only rank 0 has the arrays, one row per picture (N,)."""

    metrics: dict[str, float]
    index: NDArray[np.int64]
    """Of the picture in its data set."""
    rank: NDArray[np.int64]
    """Classes before the true one."""
    guess: NDArray[np.int64]
    """The first class."""
    confidence: NDArray[np.float64]
    """Its probability."""
    skipped: int
    """Pictures that cannot be read."""


def write(
    config: ScoredConfig, evaluation: Evaluation, pictures: Pictures, model: Opened[Classifier]
) -> None:
    """Print the table; write metrics.json, per_class.csv and the pictures."""
    one = result_card(config, evaluation, pictures, model)
    print(pictures.summary())
    print(one.table())
    tell_unscored(pictures.absent(), "picture", pictures.split)
    with outputs.written(config.out):
        one.write(config.out / "metrics.json")
        write_classes(config, evaluation, pictures)
        write_pictures(config, evaluation, pictures)
    print(f"wrote {config.out}/metrics.json, per_class.csv and pictures/")


def _protocol(config: ScoredConfig) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    test = config.test
    return {
        "input_size": test.input_size,
        "crop": test.crop,
        "interpolation": test.interpolation,
        "crops": "centre",
        "subset": test.subset,
    }


def result_card(
    config: ScoredConfig, evaluation: Evaluation, pictures: Pictures, model: Opened[Classifier]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    return card.of(
        model,
        config,
        task="classification",
        metrics=evaluation.metrics,
        protocol=_protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": config.data.val_split,
            "images": len(pictures),
            "classes": len(pictures.classes),
            **unscored(pictures.absent(), len(pictures.classes)),
            "skipped": evaluation.skipped,
            "fingerprint": pictures.fingerprint,
        },
        packages=("numpy", "opencv-python", "pillow"),
        model={"stem_stride": config.model.stem_stride, "max_pool": config.model.max_pool},
    )


def write_classes(config: ScoredConfig, evaluation: Evaluation, pictures: Pictures) -> None:
    """Write per_class.csv: pictures and accuracy of each class, and what it is mistaken for."""
    classes = pictures.classes
    truth = pictures.labels[evaluation.index]
    counts = per_class(truth, evaluation.guess, len(classes))
    with (config.out / "per_class.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["class", "title", "pictures", "correct", "top1", "mistaken_for", "mistaken"]
        )
        for number, row in enumerate(zip(*(column.tolist() for column in counts), strict=True)):
            count, correct, other, mistaken = row
            names = classes.names[number], classes.titles[number]
            share = f"{correct / count:.4f}" if count else ""
            mistaken_for = classes.names[other] if other >= 0 else ""
            table.writerow([*names, count, correct, share, mistaken_for, mistaken])


def write_pictures(config: ScoredConfig, evaluation: Evaluation, pictures: Pictures) -> None:
    """Write a sheet of pictures, spread evenly over the split, with what they were taken for."""
    count = min(PICTURES, len(evaluation.index))
    if not count:
        return
    chosen = [place * len(evaluation.index) // count for place in range(count)]
    shown: list[Picture] = []
    titles: list[str] = []
    for row in chosen:
        index, store = int(evaluation.index[row]), pictures.store
        encoded, name = store.read(index), store.name(index)
        shown.append(evaluation_image(encoded, name, config.test, config.data.orientation))
        guess = pictures.classes.titles[evaluation.guess[row]]
        verdict = "right" if evaluation.rank[row] == 0 else "WRONG"
        titles.append(f"{verdict}: {guess} {evaluation.confidence[row]:.0%}")
    folder = config.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    plot.sheet(shown, folder / "predictions.jpg", 4, titles, cell=(224, 224))
