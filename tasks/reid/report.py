"""What an evaluation leaves behind: the result card, the CMC curve and ranked lists."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from common import outputs
from common.commands import card, plot
from common.commands.opened import Opened
from common.reading import image
from tasks.reid import draw
from tasks.reid.config import ScoredConfig
from tasks.reid.data import Test, annotated
from tasks.reid.listing import Pictures
from tasks.reid.metrics import Scores
from tasks.reid.model import ReidModel

LISTS = 12
"""Queries on the sheet that the command writes."""

_CURVE = 50


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation. Only rank 0 has the scores of single queries."""

    metrics: dict[str, float]
    scores: Scores | None
    test: Test
    """What was scored: pictures that could not be read are not in it."""
    skipped: int
    """Pictures that could not be read."""


def write(config: ScoredConfig, evaluation: Evaluation, model: Opened[ReidModel]) -> None:
    """Print the table; write metrics.json, the CMC curve and the ranked lists."""
    one = result_card(config, evaluation, model)
    print(evaluation.test.summary())
    print(one.table())
    pictures = config.out / "pictures"
    with outputs.written(config.out):
        one.write(config.out / "metrics.json")
        pictures.mkdir(parents=True, exist_ok=True)
        if evaluation.scores is not None:
            write_curve(evaluation.scores, config)
            write_lists(evaluation.scores, evaluation.test, config)
    print(f"wrote {config.out}/metrics.json, pictures/cmc.png and pictures/ranked.jpg")


def _protocol(config: ScoredConfig) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    data, test = config.data, config.test
    reranking: Any = False
    if test.rerank:
        reranking = {"k1": test.rerank_k1, "k2": test.rerank_k2, "weight": test.rerank_weight}
    expansion: Any = False
    if test.expansion:
        expansion = {"neighbours": test.expansion, "power": test.expansion_power}
    boxes = {"boxes": data.cuhk03_boxes} if data.format == "cuhk03" else {}
    return {
        "same_camera": "removed",
        "average_precision": "mean of the precisions at the hits",
        "feature": f"{test.feature} the neck",
        "distance": "cosine" if test.normalize else "squared Euclidean",
        "flip": test.flip,
        "re-ranking": reranking,
        "query_expansion": expansion,
        "input_size": list(data.input_size),
        **boxes,
    }


def result_card(
    config: ScoredConfig, evaluation: Evaluation, model: Opened[ReidModel]
) -> card.Card:
    """The evaluation with its protocol, data, model and versions."""
    test = evaluation.test
    return card.of(
        model,
        config,
        task="reid",
        metrics=evaluation.metrics,
        protocol=_protocol(config),
        data={
            "root": card.describe_root(config.data.root),
            "split": "query in gallery",
            "images": len(test.query) + len(test.gallery),
            "queries": len(test.query),
            "gallery": len(test.gallery),
            "queries_without_match": int(test.unmatched().sum()),
            "skipped": evaluation.skipped,
            "left_out": {
                side: {reason: count for reason, count in found.left_out.items() if count}
                for side, found in (("query", test.query), ("gallery", test.gallery))
            },
            "fingerprint": test.query.fingerprint()[:32] + test.gallery.fingerprint()[:32],
        },
        packages=("numpy", "opencv-python", "scipy"),
    )


def write_curve(scores: Scores, config: ScoredConfig) -> None:
    """Draw the CMC curve: the share of the queries with a hit up to each rank."""
    curve = scores.cmc(_CURVE)
    mean = scores.metrics()["mAP"]
    name = f"{config.backbone}: mAP {mean:.3f}, rank-1 {curve[0]:.3f}"
    path = config.out / "pictures" / "cmc.png"
    series = {name: (np.arange(1, _CURVE + 1), curve)}
    plot.lines(path, series, "rank", "share of the queries with a hit up to it (CMC)")


def write_lists(scores: Scores, test: Test, config: ScoredConfig) -> None:
    """Write queries, spread evenly over the split, beside the nearest pictures that count."""
    count = min(LISTS, len(scores.queries))
    rows: list[list[draw.Cell]] = []
    for place in range(count):
        row = place * len(scores.queries) // count
        query = int(scores.queries[row])
        person = str(test.query.persons[query])
        title = f"{_short(person)} c{test.query.cameras[query]}"
        cells: list[draw.Cell] = [(test.query.paths[query], draw.QUERY, title)]
        for found in scores.nearest[row].tolist():
            cells.append(_cell(test.gallery, found, person) if found >= 0 else cells[0])
        rows.append(cells)
    if rows:
        image.write(
            config.out / "pictures" / "ranked.jpg", draw.sheet(rows, annotated(config.data))
        )


def _cell(gallery: Pictures, index: int, person: str) -> draw.Cell:
    found = str(gallery.persons[index])
    frame = draw.HIT if found == person else draw.MISS
    return gallery.paths[index], frame, f"{_short(found)} c{gallery.cameras[index]}"


def _short(person: str) -> str:
    """The part of a person's name that fits above a picture."""
    return person.removeprefix("test ")[:8]
