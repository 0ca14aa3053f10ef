"""``python -m tasks.panoptic.evaluate --run runs/panoptic``: score a panoptic model.

Any flag of train wins over the run's config, such as ``--data.root``, ``--data.val_split``,
``--data.test_short_side 800``, ``--test.stuff_area 4096`` and ``--test.thing_score 0.6``. A
checkpoint of others without a run: ``--config panoptic_fpn_res2net50_mmdet --checkpoint FILE.pth``.

The maps are written as well: PNG files in `panoptic/` and `panoptic.json`, in COCO's form.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle
from torch import nn

from common import outputs
from common.commands import command, plot, seen, trained
from common.commands.confusion import Counts, confusion_matrix, mean_scores
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.detection.batches import collate
from tasks.detection.inference import coco_results
from tasks.detection.metrics import Scores, coco_scores
from tasks.panoptic import baselines, report
from tasks.panoptic.annotations import Segments, Split
from tasks.panoptic.baselines import Baselines
from tasks.panoptic.config import Config, ScoredConfig
from tasks.panoptic.data import ScoringSet, read
from tasks.panoptic.fusion import Map, Part
from tasks.panoptic.inference import Panoptic, open_model, segment
from tasks.panoptic.metrics import Segment, Tally, compare, scores
from tasks.panoptic.report import FOLDER, MODEL, Evaluation
from tasks.panoptic.transforms import semantic_map

Places = NDArray[np.int32]


class Result(NamedTuple):
    """What is kept of one picture."""

    picture: int
    """Its index in the split."""
    segments: list[Part]
    found: list[dict[str, Any]]
    """Things in COCO's result form."""
    truth: list[dict[str, Any]]
    """Annotated things in COCO's form, of the PNG; empty where a file of their own has them."""
    drawn: Map | None
    """The map; None if it is not drawn."""


def evaluate(
    model: nn.Module,
    split: Split,
    config: Config,
    world: World,
    guesses: Baselines | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank; only rank 0 has the rest. Maps are written into a folder
    of `out`, if it is given.

    Raises:
        UserError: no picture can be read, or the model is broken.
    """
    shown = set(plot.spread(len(split), report.ROWS))
    tallies: dict[str, Tally] = {}
    counts: Counts = np.zeros((len(split.stuff) + 1,) * 2, dtype=np.int64)

    def step(batch: dict[str, Any]) -> list[Result]:
        nonlocal counts
        index, places = int(batch["index"][0]), batch["places"][0].cpu().numpy()
        found = segment(model, batch["image"], batch["size"], batch["original_size"], config)[0]
        for name, one in _tallies(split, index, places, found, guesses).items():
            tallies[name] = tallies[name].plus(one) if name in tallies else one
        labels = semantic_map(places.astype(np.uint16), split.of(index).labels, len(split.things))
        counts += confusion_matrix(labels, found.semantic, len(split.stuff) + 1)
        if out is not None:
            report.write_map(out, split, index, found.ids)
        return [_result(split, index, places, found, keep=index in shown)]

    results: list[Result] = infer(
        ScoringSet(split, config.data),
        step,
        batch_size=1,  # with padding, what is found would depend on the other pictures
        workers=config.loader.workers,
        world=world,
        title="evaluating",
        collate=collate,
    )
    parts = distributed.gather([(tallies, counts)], world)

    def scored() -> Evaluation:
        if not results:
            raise UserError(f"{split.file}: not one of its {len(split)} pictures can be read")
        return _evaluation(results, parts, split, config)

    return distributed.from_main(scored, world)


def _tallies(
    split: Split, index: int, places: Places, found: Panoptic, guesses: Baselines | None
) -> dict[str, Tally]:
    """What is right and wrong in a picture, of the model (MODEL) and of each guess."""
    truth, count = true_segments(split.of(index), places), len(split.categories)
    named = {one.number: one.label - 1 for one in found.segments}
    tallies = {MODEL: compare(places, truth, found.ids, named, count)}
    for name, guess in ({} if guesses is None else guesses.guesses(*places.shape)).items():
        labels = {number: label - 1 for number, label in guess.labels.items()}
        tallies[name] = compare(places, truth, guess.ids, labels, count)
    return tallies


def true_segments(segments: Segments, places: Places) -> dict[int, Segment]:
    """The annotated segments that count, by their number in the map, as a score sees them."""
    areas = segments.areas
    if (areas < 0).any():  # counting takes as long as comparing two maps
        pixels = np.bincount(places.ravel(), minlength=len(segments) + 1)[1:]
        areas = np.where(areas < 0, pixels, areas)
    return {
        row + 1: Segment(int(label) - 1, int(area), bool(crowd))
        for row, (label, area, crowd) in enumerate(
            zip(segments.labels, areas, segments.crowd, strict=True)
        )
        if label
    }


def _result(split: Split, index: int, places: Places, found: Panoptic, keep: bool) -> Result:
    things = [one.id for one in split.categories if one.thing]
    number = _number(split, index)
    truth = [] if split.instances is not None else _true_things(split.of(index), places, things)
    return Result(
        index,
        found.segments,
        [{"image_id": number, **one} for one in coco_results(found.things, things)],
        [{"image_id": number, **one} for one in truth],
        found.ids if keep else None,
    )


def _number(split: Split, index: int) -> int:
    """A whole number for a picture: its id, or its row where that is a name."""
    own = split.image_ids[index]
    return own if isinstance(own, int) else index


def _true_things(
    segments: Segments, places: Places, categories: Sequence[int]
) -> list[dict[str, Any]]:
    """The things of a map in COCO's form, crowds included."""
    rows = np.flatnonzero((segments.labels > 0) & (segments.labels <= len(categories)))
    found = []
    for row in rows.tolist():
        runs = rle.encode(np.asfortranarray(places == row + 1, dtype=np.uint8))
        found.append(
            {
                "category_id": categories[int(segments.labels[row]) - 1],
                "bbox": rle.toBbox(runs).tolist(),
                "area": float(rle.area(runs)),
                "iscrowd": int(segments.crowd[row]),
                "segmentation": runs,
            }
        )
    return found


def _evaluation(
    results: list[Result],
    parts: list[tuple[dict[str, Tally], Counts]],
    split: Split,
    config: Config,
) -> Evaluation:
    """All that was counted, of all ranks."""
    totals: dict[str, Tally] = {}
    for tallies, _ in parts:
        for name, one in tallies.items():
            totals[name] = totals[name].plus(one) if name in totals else one
    things = [one.thing for one in split.categories]
    quality = {name: scores(one, things) for name, one in totals.items()}
    confusion = sum((counts for _, counts in parts[1:]), parts[0][1])
    return Evaluation(
        quality=quality.pop(MODEL),
        tally=totals[MODEL],
        detection=_detection(results, split, config),
        semantic=mean_scores(confusion),
        baselines=quality,
        segments={one.picture: one.segments for one in results},
        drawn={one.picture: one.drawn for one in results if one.drawn is not None},
        skipped=len(split) - len(results),
    )


def _detection(results: list[Result], split: Split, config: Config) -> dict[str, Scores]:
    """AP of boxes and masks; nothing where no thing is annotated."""
    read = {_number(split, one.picture) for one in results}
    if split.instances is not None:
        numbers = {_number(split, index) for index in range(len(split))}
        truth = split.instances.ground_truth(numbers - read)
    else:
        sizes = ((one.picture, *split.sizes[one.picture].tolist()) for one in results)
        truth = {
            "images": [
                {"id": _number(split, index), "height": height, "width": width}
                for index, height, width in sizes
            ],
            "categories": [
                {"id": one.id, "name": one.name} for one in split.categories if one.thing
            ],
            "annotations": [
                {"id": place, **one}
                for place, one in enumerate((e for r in results for e in r.truth), 1)
            ],
        }
    if not any(not one.get("iscrowd") for one in truth["annotations"]):
        return {}
    found = [one for result in results for one in result.found]
    return {
        "box": coco_scores(truth, found, "bbox", config.test.scorer),
        "mask": coco_scores(truth, found, "segm", config.test.scorer),
    }


def main() -> None:
    """Read the flags, score the model and write the card, the maps and the pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    config, model = open_model(config, world.device)
    split = read(config, config.data.val_split)
    if world.main:
        seen.report_of_run(
            config, Config, split.files, lambda own: read(own, own.data.train_split).files
        )
        orientation.report(split.files, config.data.orientation)
    guesses = distributed.from_main(lambda: _guesses(config), world)
    outputs.make_folder(config.out / FOLDER)
    with model.running():
        evaluation = evaluate(model.network, split, config, world, guesses, config.out)
    if world.main:
        report.write(config, evaluation, split, model)
    return evaluation


def _guesses(config: Config) -> Baselines | None:
    """What the training split alone would guess; None where it is not there."""
    try:
        return baselines.learn(read(config, config.data.train_split))
    except UserError as error:
        print(f"note: no baselines beside the scores, for there is no training split: {error}")
        return None


if __name__ == "__main__":
    command.run(main)
