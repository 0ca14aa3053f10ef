"""What an evaluation leaves behind: the result card, the scores of every case, and pictures."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.networks.segmentation import SegmentationModel
from common.reading import image
from common.reading.image import Picture
from tasks.volumes import baselines, metrics
from tasks.volumes.config import Config, ScoredConfig
from tasks.volumes.data import Split
from tasks.volumes.draw import strip
from tasks.volumes.metrics import Scores
from tasks.volumes.nifti import RESEARCH

ROWS = 6
"""Cases on the sheet that the command writes."""

CASE_COLUMNS = (
    "case", "region", "Dice", "HD95", "ASD", "NSD", "truth_ml", "predicted_ml", "lesions", "found",
    "false_positives", "note",
)  # fmt: skip


class Drawn(NamedTuple):
    """One slice of a case, (h, w, 3)."""

    truth: Picture
    found: Picture
    slice: int


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    metrics: dict[str, float]
    """As `metrics.summary` gives them."""
    cases: dict[str, dict[str, Scores]]
    """The scores of each case, by region. From here on, only rank 0 knows them."""
    threshold: dict[str, float]
    """Dice of a threshold on HU; empty if nobody asked for it."""
    drawn: dict[str, Drawn]
    """A slice of some of the cases."""
    skipped: int
    """Cases that could not be read."""


def write(
    config: ScoredConfig, evaluation: Evaluation, split: Split, model: Opened[SegmentationModel]
) -> None:
    """Print the tables; write metrics.json, cases.csv and the pictures."""
    one = result_card(config, evaluation, split, model)
    print(split.summary())
    print(one.table())
    print(class_table(config, evaluation))
    with outputs.written(config.out):
        beside = {**one.data, "baselines": {baselines.NAME: evaluation.threshold}}
        replace(one, data=beside if evaluation.threshold else one.data).write(
            config.out / "metrics.json"
        )
        outputs.write_text(config.out / "cases.csv", cases_csv(evaluation.cases))
        (config.out / "pictures").mkdir(parents=True, exist_ok=True)
        write_sheet(config, evaluation)
    print(f"wrote {config.out}/metrics.json, cases.csv and pictures/; {RESEARCH.lower()}")


def class_table(config: Config, evaluation: Evaluation) -> str:
    """Each region's means over the cases, and the Dice of a threshold on HU beside them."""
    names = ("Dice", "HD95", "NSD", "ASD", "volume_error", "Dice_pooled")
    rows = [("", [*names, "HU threshold"])]
    for region in next(iter(evaluation.cases.values())):
        every = [case[region] for case in evaluation.cases.values()]
        means = metrics.region_summary(every, config.test)
        guess = evaluation.threshold.get(f"Dice_{region}", math.nan)
        rows.append((region, [_shown(value) for value in (*means.values(), guess)]))
    wide = max(len(name) for name, _ in rows)
    return "\n".join(
        f"{name:{wide}}  " + "  ".join(cell.rjust(12) for cell in cells) for name, cells in rows
    )


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def cases_csv(cases: Mapping[str, Mapping[str, Scores]]) -> str:
    """A line for each region of each case; what is not defined is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CASE_COLUMNS)
    for case, scores in cases.items():
        for region, one in scores.items():
            numbers = [one.dice, one.hd95, one.asd, one.nsd]
            volumes = [count * one.millilitres for count in (one.truth, one.predicted)]
            writer.writerow([
                case, region, *("" if math.isnan(value) else f"{value:.6g}" for value in numbers),
                *(f"{value:.6g}" for value in volumes), *(one.pieces or ("", "", "")), RESEARCH,
            ])  # fmt: skip
    return text.getvalue()


def protocol(config: Config) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    surface = "surface elements and areas, larger of both directions (surface-distance)"
    rims = "border voxels, both directions together, interpolated (medpy)"
    missing = "diagonal of the volume" if test.empty_distance == "diagonal" else "left out"
    return {
        "use": RESEARCH,
        "fold": config.fold if data.val_split != "all" else "all cases",
        "scored_at": "the volume's own voxels, in mm",
        "mean": "over cases, then regions",
        "regions": {name: list(one) for name, one in (test.regions or {}).items()} or "classes",
        "Dice_both_empty": {"leave_out": "left out", "one": "1"}[test.empty_dice],
        "HD95": surface if test.distances == "surface_distance" else rims,
        "HD95_one_empty": missing,
        "HD95_both_empty": "left out",
        "ASD": "mean of the two directions' means by area"
        if test.distances == "surface_distance"
        else "mean of both directions' distances together",
        "NSD": f"surface elements within {test.tolerance:g} mm (surface-distance); one empty: 0",
        "lesion": f"26-connected, found if IoU with what touches it is above {test.lesion_overlap}",
        "windows": [list(one) for one in data.windows],
        "slices": data.slices,
        "slice_distance": data.slice_distance or "next",
        "spacing": [one or "own" for one in data.spacing],
        "window": list(test.window) if test.window else "whole slices",
        **({"overlap": test.overlap} if test.window else {}),
        "smoothing": test.smoothing,
        "flip": test.flip,
        "largest_component": list(test.largest_component),
    }


def result_card(
    config: ScoredConfig,
    evaluation: Evaluation,
    split: Split,
    model: Opened[SegmentationModel],
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    return card.of(
        model,
        config,
        task="volumes",
        metrics=evaluation.metrics,
        protocol=protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": split.name,
            "images": len(evaluation.cases),
            "skipped": evaluation.skipped,
            "classes": list(split.classes),
            "fingerprint": split.fingerprint(),
        },
        packages=("numpy", "scipy", "opencv-python", "nibabel"),
        model={"decoder": config.model.decoder},
    )


def write_sheet(config: Config, evaluation: Evaluation) -> None:
    """Write a slice of some cases, with true outlines and with those that were found."""
    cells: list[Picture] = []
    titles: list[str] = []
    for name, one in evaluation.drawn.items():
        cells += [one.truth, one.found]
        titles += [f"{name}, slice {one.slice + 1}: truth", "found"]
    if cells:
        whole = plot.grid(cells, 4, titles, (240, 240))
        below = strip(config.data.classes, whole.shape[1])
        image.write(config.out / "pictures" / "volumes.jpg", np.concatenate([whole, below]))
