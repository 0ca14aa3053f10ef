"""``python -m tasks.detection.evaluate --run runs/detection``: score a detector by COCO's rules.

Any flag of train wins over the run's config, such as ``--data.root``, ``--data.val_split``,
``--data.test_short_side 800`` and ``--test.scorer hotcoco``. A checkpoint of torchvision without a
run: ``--config tasks/detection/configs/mask_rcnn_resnet50.yaml --checkpoint FILE.pth``.

`detections.json` lists what was found in COCO's result form, with the ids of the pictures; of a
split without annotations, such as a competition's test set, it is all that is written. With a
class of persons it is what ``python -m tasks.pose.evaluate --data.boxes`` takes.
"""

import sys
from collections.abc import Container
from typing import Any

from torch import Tensor, nn

from common.commands import command, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.detection import report
from tasks.detection.annotations import Annotations
from tasks.detection.batches import collate
from tasks.detection.config import Config, ScoredConfig
from tasks.detection.data import ScoringSet, read, with_classes
from tasks.detection.inference import coco_results, detect, open_model
from tasks.detection.metrics import Kind, Scores, coco_scores
from tasks.detection.report import Evaluation

KINDS: dict[str, Kind] = {"box": "bbox", "mask": "segm"}


def watched_metric(config: Config) -> str:
    """The metric that chooses the best checkpoint."""
    return "mask_AP" if config.model.masks else "box_AP"


def evaluate(
    model: nn.Module, annotations: Annotations, config: Config, world: World
) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank; only rank 0 has the detections. A split without objects
    has detections and no scores.

    Raises:
        UserError: none of the pictures can be read.
    """
    categories = [category.id for category in annotations.categories]

    def step(batch: dict[str, Tensor]) -> list[tuple[int, list[dict[str, Any]]]]:
        found = detect(model, batch["image"], batch["size"], batch["original_size"], config)
        return [
            (image_id, [{"image_id": image_id, **one} for one in coco_results(objects, categories)])
            for objects, image_id in zip(found, batch["image_id"].tolist(), strict=True)
        ]

    pictures: list[tuple[int, list[dict[str, Any]]]] = infer(
        ScoringSet(annotations, config.data),
        step,
        batch_size=1,  # with padding, what is found would depend on the other pictures
        workers=config.loader.workers,
        world=world,
        title="evaluating",
        collate=collate,
    )
    results = [one for _, objects in pictures for one in objects]
    unread = set(annotations.image_ids.tolist()) - {image_id for image_id, _ in pictures}

    def scored() -> tuple[dict[str, Scores], int]:
        if not pictures:
            raise UserError(
                f"{annotations.file}: not one of its {len(annotations)} pictures can be read"
            )
        scores = _scores(results, annotations, config, unread) if annotations.scored else {}
        return scores, len(unread)

    scores, skipped = distributed.from_main(scored, world)
    return Evaluation(scores, results, skipped)


def _scores(
    results: list[dict[str, Any]], annotations: Annotations, config: Config, unread: Container[int]
) -> dict[str, Scores]:
    """Scores of boxes and, of a detector that draws them, of masks, in the pictures read."""
    truth = annotations.ground_truth(unread)
    kinds = ["box", "mask"] if config.model.masks else ["box"]
    return {name: coco_scores(truth, results, KINDS[name], config.test.scorer) for name in kinds}


def main() -> None:
    """Read the flags, score the model and write the card, the detections and the pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write the results into config.out."""
    annotations = read(config, config.data.val_split)
    if world.main:
        seen.report_of_run(
            config, Config, annotations.files, lambda own: read(own, own.data.train_split).files
        )
        orientation.report(annotations.files, config.data.orientation)
    config = with_classes(config, annotations)
    model = open_model(config, world.device)
    with model.running():
        evaluation = evaluate(model.network, annotations, config, world)
    if world.main and annotations.scored:
        report.write(config, evaluation, annotations, model)
    elif world.main:
        report.write_detections(config, evaluation, annotations)
    return evaluation


if __name__ == "__main__":
    command.run(main)
