"""What an evaluation leaves behind: result cards, the precision and recall curve, pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.errors import DamagedFile
from common.reading import image
from tasks.salient.config import Config, ScoredConfig
from tasks.salient.data import read_mask
from tasks.salient.inference import Predictor
from tasks.salient.metrics import MAIN, Scores
from tasks.salient.model import SaliencyNetwork
from tasks.salient.sets import PictureSet

PICTURES = 6
"""Rows of the sheet that the command writes."""

_PROTOCOL = {"MaxF": "SalMetric", "map_size": "the mask's"}
_PACKAGES = ("numpy", "opencv-python")


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation on one set."""

    pictures: PictureSet
    scores: Scores
    skipped: int
    """Pictures that could not be read. Only rank 0 knows it."""
    resized: int
    """Pictures or maps whose mask has another size. Only rank 0 knows it."""


def write(config: Config, evaluations: Sequence[Evaluation], cards: Sequence[card.Card]) -> None:
    """Print the table; write the card of each set and one picture of their curves.

    The first set's card is metrics.json; with several, each has metrics_NAME.json as well.
    """
    print(table(cards))
    for one in evaluations:
        if one.resized:
            print(
                f"{one.pictures.name}: {one.resized} pictures have a mask of another size; their "
                "maps were resized to it"
            )
    with outputs.written(config.out):
        cards[0].write(config.out / "metrics.json")
        if len(cards) > 1:
            for each in cards:
                each.write(config.out / f"metrics_{each.data['split']}.json")
        curves = {
            one.pictures.name: (one.scores.recall, one.scores.precision) for one in evaluations
        }
        plot.lines(config.out / "precision_recall.png", curves, "recall", "precision")
        write_curves(config.out / "precision_recall.json", evaluations)
    print(f"wrote {config.out}/metrics.json and precision_recall.png")


def write_curves(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write the curves' 256 points of each set, to be drawn with other methods."""
    content = {
        one.pictures.name: {
            "precision": np.round(one.scores.precision, 6).tolist(),
            "recall": np.round(one.scores.recall, 6).tolist(),
        }
        for one in evaluations
    }
    outputs.write_text(path, json.dumps(content))


def table(cards: Sequence[card.Card]) -> str:
    """The main scores, a row for each set, and the protocol below."""
    head = ["set", "pictures", *MAIN]
    rows = [
        [one.data["split"], str(one.data["images"]), *(f"{one.metrics[name]:.4f}" for name in MAIN)]
        for one in cards
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in [head, *rows]
    ]
    parts = [("protocol", cards[0].protocol), ("model", cards[0].model)]
    for title, part in parts:
        if part:
            said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items())
            lines.append(f"{title}: {said}")
    return "\n".join(lines)


def model_card(
    config: ScoredConfig, evaluation: Evaluation, model: Opened[SaliencyNetwork]
) -> card.Card:
    """The card of maps that a model has just made of one set."""
    data = config.data
    inputs = "native" if data.fit == "native" else f"{data.fit} {list(data.input_size)}"
    return card.of(
        model,
        config,
        task="salient",
        metrics=evaluation.scores.metrics,
        protocol={
            "network": config.model.network,
            "inputs": inputs,
            "resampling": data.resampling,
            "colour": data.colour,
            "normalisation": config.model.normalisation,
            "resized": config.model.resize_maps,
            "stretched": config.model.stretch_maps,
            **_PROTOCOL,
        },
        data=_describe_set(config, evaluation),
        packages=_PACKAGES,
    )


def maps_card(config: Config, evaluation: Evaluation, folder: Path) -> card.Card:
    """The card of one set's maps that were there before, in this folder."""
    return card.Card(
        task="salient",
        metrics=evaluation.scores.metrics,
        protocol={"maps": str(folder), **_PROTOCOL},
        data=_describe_set(config, evaluation),
        model={},
        checkpoint={},
        versions=card.versions(_PACKAGES),
        device="CPU",
    )


def _describe_set(config: Config, evaluation: Evaluation) -> dict[str, Any]:
    """What was scored, for the result card."""
    pictures = evaluation.pictures
    return {
        "root": card.describe_root(config.data.root),
        "split": pictures.name,
        "images": len(pictures) - evaluation.skipped,
        "skipped": evaluation.skipped,
        "resized": evaluation.resized,
        "fingerprint": pictures.fingerprint,
    }


def write_pictures(config: Config, evaluations: Sequence[Evaluation], predictor: Predictor) -> None:
    """Write a sheet for each set: picture, mask and map, for pictures spread evenly over it."""
    folder = config.out / "pictures"
    outputs.make_folder(folder)
    for evaluation in evaluations:
        pairs = evaluation.pictures.pairs
        chosen = plot.spread(len(pairs), PICTURES)
        cells: list[NDArray[np.uint8]] = []
        titles: list[str] = []
        for index in chosen:
            try:
                picture = image.read(pairs[index].image, orientation=config.data.orientation)
                mask = read_mask(pairs[index].label, True, config.data.orientation)
            except DamagedFile:
                continue  # It was counted and reported when it was to be scored.
            found = predictor(picture).map
            cells += [picture, *(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) for grey in (mask, found))]
            titles += [pairs[index].image.name, "mask", "map"]
        if cells:
            path = folder / f"{evaluation.pictures.name}.jpg"
            plot.sheet(cells, path, 6, titles, cell=(192, 224))
    print(f"wrote {folder}/")
