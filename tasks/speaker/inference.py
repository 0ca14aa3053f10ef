"""From a checkpoint to a model, and from recordings to embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbone.weights import load
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from common.training import distributed
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.speaker.config import Config
from tasks.speaker.data import ScoringSet
from tasks.speaker.model import (
    SpeakerModel,
    build,
    explain,
    from_published,
    without_classifier,
)

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def initial_model(config: Config, speakers: int) -> SpeakerModel:
    """What training begins with: fresh, or with what --weights or --finetune names.

    Args:
        config: names backbone, head and sources.
        speakers: training speakers, other speeds counted.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    model = build(config.backbone, config.model, speakers)
    if config.weights is not None:
        load(model.backbone, config.weights, sum_colours=True)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, from_published)
        state = dict(source.state)
        if config.new_speakers and model.classifier is not None:
            own = model.classifier.state_dict(prefix="classifier.")
            state = {**without_classifier(state), **own}
        trained.load(model, replace(source, state=state), explain)
    return model


def restore(config: Config, weights: Trained, device: torch.device) -> SpeakerModel:
    """The config's model with a checkpoint's weights, without classifier, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, config.model, speakers=None)
    state = without_classifier(weights.state)
    trained.load(model, replace(weights, state=state), explain)
    trained.ready(model, device)
    return model


def embed(
    model: SpeakerModel,
    files: Sequence[Path | str],
    config: Config,
    world: World,
    seconds: float = 0.0,
    title: str = "embedding",
) -> tuple[Embeddings, NDArray[np.int64]]:
    """Embeddings (M, D) of the recordings that can be read, and their places (M,) in `files`.

    The ranks share the work, and all of them get the result.

    Args:
        model: in eval mode.
        files: recordings.
        config: of data (on_error), loader and engine (batch size).
        world: the ranks.
        seconds: only so much from the beginning; 0 takes all of each, one at a time, because a
            batch needs equal lengths.
        title: for the progress bar and the count of what was left out.

    Raises:
        UserError: a recording cannot be read, unless config.data.on_error is skip; or an embedding
            is not finite.
    """

    def step(batch: dict[str, Tensor]) -> list[tuple[int, Embeddings]]:
        vectors = model.embed(batch["wave"]).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise UserError("the embeddings are not finite: this checkpoint is of a failed run")
        return list(zip(batch["index"].tolist(), vectors, strict=True))

    found = infer(
        ScoringSet(files, seconds, config.data.on_error),
        step,
        batch_size=config.engine.batch_size if seconds else 1,
        workers=config.loader.workers,
        world=world,
        title=title,
    )
    found = distributed.share(found, world)
    places = np.array([place for place, _ in found], dtype=np.int64)
    if not len(found):
        raise UserError(f"{title}: not one of the {len(files)} recordings can be read")
    return np.stack([vector for _, vector in found]), places
