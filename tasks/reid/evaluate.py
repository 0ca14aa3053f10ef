"""``python -m tasks.reid.evaluate --run runs/reid``: score a re-identification model.

A published checkpoint without a run: ``--config RECIPE.yaml --checkpoint FILE.pth``. Any flag of
train wins over the run's config, such as ``--data.root`` and ``--data.format`` (score another data
set than was trained on), ``--test.rerank`` and ``--test.flip``.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from torch import nn

from common.commands import command, seen, trained
from common.errors import UserError
from common.reading import orientation
from common.training import distributed
from common.training.distributed import World
from tasks.reid import report
from tasks.reid.config import Config, ScoredConfig
from tasks.reid.data import Test, annotated, read
from tasks.reid.inference import Embedded, compare, embed_files, open_model
from tasks.reid.listing import Pictures
from tasks.reid.metrics import Labels
from tasks.reid.metrics import score as score_distances
from tasks.reid.report import Evaluation


def evaluate(model: nn.Module, test: Test, config: Config, world: World) -> Evaluation:
    """Score a model in eval mode; called on all ranks, which share the work.

    The metrics are the same on every rank.
    """
    found = embed_files(model, test.files, config, world, annotated(config.data))
    return scored(found, test, config, world)


def scored(found: Embedded, test: Test, config: Config, world: World) -> Evaluation:
    """Score the features of a test's pictures; called on all ranks.

    Raises:
        UserError: what could be read cannot be scored.
    """
    # Kept on rank 0: the scores of all queries are too many to share.
    outcomes: list[Evaluation] = []

    def metrics() -> dict[str, float]:
        outcomes.append(_compared(test, *found, config))
        return outcomes[0].metrics

    shared = distributed.from_main(metrics, world)
    return outcomes[0] if outcomes else Evaluation(shared, None, test, 0)


def _compared(
    test: Test, read: NDArray[np.int64], features: NDArray[np.float32], config: Config
) -> Evaluation:
    """Score the features (M, C) of the pictures that could be read, queries before gallery.

    Raises:
        UserError: what could be read cannot be scored.
    """
    count = len(test.query)
    sound = Test(
        chosen(test.query, read[read < count]), chosen(test.gallery, read[read >= count] - count)
    )
    if not len(sound.query) or not len(sound.gallery):
        raise UserError(f"{test.query.title}: no picture of query or gallery can be read")
    if sound.unmatched().all():
        raise UserError(
            f"{test.query.title}: no query has a picture of its person by another camera among the "
            "gallery's that can be read"
        )
    blocks = compare(features[: len(sound.query)], features[len(sound.query) :], config.test)
    scores = score_distances(blocks, *labels(sound))
    return Evaluation(scores.metrics(), scores, sound, count + len(test.gallery) - len(read))


def chosen(found: Pictures, indices: NDArray[np.int64]) -> Pictures:
    """Some of the pictures."""
    paths = tuple(found.paths[index] for index in indices.tolist())
    return Pictures(
        found.title, paths, found.persons[indices], found.cameras[indices], found.left_out
    )


def labels(test: Test) -> tuple[Labels, Labels]:
    """Persons and cameras of query and gallery as numbers that are equal where the names are."""
    sides = test.query, test.gallery
    numbers = []
    for names in ([side.persons for side in sides], [side.cameras for side in sides]):
        _, inverse = np.unique(np.concatenate(names), return_inverse=True)
        numbers.append(np.split(inverse.astype(np.int64), [len(test.query)]))
    (query_persons, gallery_persons), (query_cameras, gallery_cameras) = numbers
    return Labels(query_persons, query_cameras), Labels(gallery_persons, gallery_cameras)


def main() -> None:
    """Read the flags, score the model and write the card, the curve and the pictures."""
    config = trained.parse(ScoredConfig, sys.argv[1:])
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write everything there is to tell into config.out."""
    test = read(config, "test")
    if world.main:
        seen.report_of_run(config, Config, test.files, lambda own: read(own, "train").files)
        orientation.report(test.files, config.data.orientation)
    model = open_model(config, world.device)
    with model.running():
        found = embed_files(model.network, test.files, config, world, annotated(config.data))
    # Out of there, in float32: distances need more digits than bfloat16 has.
    evaluation = scored(found, test, config, world)
    if world.main:
        report.write(config, evaluation, model)
    return evaluation


if __name__ == "__main__":
    command.run(main)
