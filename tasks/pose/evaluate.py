"""``python -m tasks.pose.evaluate --run runs/pose``: score a pose model, and say by what protocol.

A published checkpoint without a run: ``--config RECIPE.yaml --checkpoint FILE.pth``. Any flag of
train wins over the run's config, such as ``--data.root``, ``--data.val_split``, ``--data.boxes`` (a
detector's boxes instead of the annotated ones) and ``--test.flip false``.
"""

import sys
from collections.abc import Container, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from common.commands import command, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.pose import report
from tasks.pose.config import Config, ScoredConfig, ScoringConfig
from tasks.pose.data import Annotations, Boxes, ScoringSet, read, read_boxes
from tasks.pose.inference import estimate, open_model
from tasks.pose.metrics import PERSON, coco_scores, pckh, rescore
from tasks.pose.report import Evaluation
from tasks.pose.skeleton import Skeleton
from tasks.pose.suppression import suppress


class Person(NamedTuple):
    """What the model says of one box."""

    image_id: int
    annotation: int
    """Row of the annotations, -1 for a detector's box."""
    joints: NDArray[np.float64]
    """(J, 3) x, y in pixels and score."""
    area: float
    """Width times height of the padded box."""
    box_score: float


def watched_metric(config: Config) -> str:
    """The metric that chooses the best checkpoint: AP, or the mean PCKh for MPII.

    Raises:
        UserError: the config asks for an evaluation that the data set does not have.
    """
    if config.data.format != "mpii":
        return "AP"
    if config.data.boxes is not None:
        raise UserError(
            f"--data.boxes {config.data.boxes}: MPII is scored with its own boxes; leave it out"
        )
    if config.data.val_split != "valid":
        raise UserError(
            f"--data.val_split {config.data.val_split}: only MPII's split valid has the head sizes "
            "that PCKh needs"
        )
    return "Mean"


def evaluate(
    model: nn.Module, annotations: Annotations, config: Config, world: World
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    Ground-truth boxes are taken unless --data.boxes names a detector's. The metrics are the same on
    every rank; a split without annotated persons has none.

    Raises:
        UserError: it has no annotated boxes, and --data.boxes gives none.
    """
    watched_metric(config)
    if not len(annotations) and config.data.boxes is None:
        raise UserError(
            f"{annotations.file}: annotates no person; give a detector's boxes with --data.boxes, "
            "such as the detections.json of tasks.detection.evaluate on the same split"
        )
    boxes = _detections(annotations, config)
    dataset = ScoringSet(annotations, config.data, boxes)

    def step(batch: dict[str, Tensor]) -> list[Person]:
        return _people(model, batch, config)

    people: list[Person] = infer(
        dataset,
        step,
        batch_size=config.engine.batch_size,
        workers=config.loader.workers,
        world=world,
        title="evaluating",
    )
    results = coco_results(people, annotations.skeleton, config.test)
    unread = set(dataset.image_ids.tolist()) - {person.image_id for person in people}

    def metrics() -> dict[str, float]:
        if not people and len(dataset):
            raise UserError(
                f"{annotations.file}: not one picture of its {len(dataset)} boxes can be read"
            )
        return _scores(people, results, annotations, config, unread) if len(annotations) else {}

    return Evaluation(
        metrics=distributed.from_main(metrics, world),
        results=results,
        boxes=len(dataset),
        skipped=len(dataset) - len(people),
        box_source="ground truth" if boxes is None else boxes.file.name,
        box_fingerprint=None if boxes is None else boxes.fingerprint,
    )


def _detections(annotations: Annotations, config: Config) -> Boxes | None:
    if config.data.boxes is None:
        return None
    return read_boxes(
        config.data.boxes, annotations, config.data.box_threshold, config.data.on_error
    )


def _people(model: nn.Module, batch: dict[str, Tensor], config: Config) -> list[Person]:
    centers, extents = batch["center"].cpu().numpy(), batch["extent"].cpu().numpy()
    joints = estimate(model, batch["image"], centers, extents, config)
    columns = (batch["image_id"], batch["annotation"], batch["score"])
    return [
        Person(image_id, annotation, person, float(extent.prod()), score)
        for person, extent, image_id, annotation, score in zip(
            joints, extents, *(column.tolist() for column in columns), strict=True
        )
    ]


def coco_results(
    people: Sequence[Person], skeleton: Skeleton, test: ScoringConfig
) -> list[dict[str, Any]]:
    """Persons in COCO's result form, rescored by their joints, without those found twice."""
    results: list[dict[str, Any]] = []
    in_order = sorted(people, key=lambda person: person.image_id)
    for image_id, group in groupby(in_order, key=lambda person: person.image_id):
        found = list(group)
        joints = np.stack([person.joints for person in found])
        box_scores = np.array([person.box_score for person in found])
        areas = np.array([person.area for person in found])
        scores = rescore(box_scores, joints[..., 2], test.joint_threshold)
        kept, scores = suppress(joints[..., :2], scores, areas, np.array(skeleton.sigmas), test)
        results += [
            {
                "image_id": image_id,
                "category_id": PERSON,
                "keypoints": joints[index].ravel().tolist(),
                "score": float(score),
            }
            for index, score in zip(kept, scores, strict=True)
        ]
    return results


def _scores(
    people: Sequence[Person],
    results: list[dict[str, Any]],
    annotations: Annotations,
    config: Config,
    unread: Container[int],
) -> dict[str, float]:
    # A person in a picture that could not be read has no prediction and does not count.
    if config.data.format != "mpii":
        truth = annotations.ground_truth(unread)
        return coco_scores(truth, results, np.array(annotations.skeleton.sigmas))
    rows = [person.annotation for person in people]
    shape = (len(rows), annotations.skeleton.joints, 3)
    predicted = np.array([person.joints for person in people]).reshape(shape)
    joints = annotations.joints[rows]
    return pckh(predicted[..., :2], joints[..., :2], joints[..., 2], annotations.head_sizes[rows])


def main() -> None:
    """Read the flags, score the model and write the card, the results and the pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    watched_metric(config)
    annotations = read(config, config.data.val_split)
    if world.main:
        seen.report_of_run(
            config, Config, annotations.files, lambda own: read(own, own.data.train_split).files
        )
        orientation.report(annotations.files, config.data.orientation)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.network, annotations, config, world)
    if world.main and len(annotations):
        report.write(config, evaluation, annotations, model)
    elif world.main:
        report.write_results(config, evaluation, annotations)
    return evaluation


if __name__ == "__main__":
    command.run(main)
