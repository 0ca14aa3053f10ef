"""From a checkpoint to a model, from pictures to features, and from features to distances."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone.weights import load
from common.commands import trained
from common.commands.trained import Trained, TrainedFlags
from common.errors import UserError
from common.training.distributed import World
from common.training.evaluation import infer
from tasks.reid.config import Config, ScoringConfig
from tasks.reid.data import ScoringSet
from tasks.reid.model import TRAINING_ONLY, ReidModel, build, explain, from_published
from tasks.reid.reranking import rerank
from tasks.reid.retrieval import distances, expand, unit


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""


def fresh(config: Config, persons: int) -> ReidModel:
    """The model from which training starts, with a new classifier of so many persons.

    Raises:
        UserError: the model of --finetune is another one.
        WeightsError: the weights of --weights do not fit the backbone.
    """
    torch.manual_seed(config.engine.seed)  # the initial weights; all later draws are counted
    model = build(config, persons)
    if config.weights is not None:
        load(model.backbone, config.weights)
    if config.finetune is not None:
        source = build(config)
        _load(source, trained.read("--finetune", config.finetune, from_published))
        # Strict all the same: what is not in the source are the classifier and the centers.
        model.load_state_dict({**model.state_dict(), **source.state_dict()})
    return model


def restore(config: Config, weights: Trained, device: torch.device) -> ReidModel:
    """The config's model with a checkpoint's weights, ready for inference.

    It has no classifier and no centers: those of the checkpoint are of the persons that were
    learnt, and a search needs neither.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config)
    _load(model, weights)
    trained.ready(model, device)
    return model


def _load(model: ReidModel, weights: Trained) -> None:
    kept = {k: v for k, v in weights.state.items() if not k.startswith(TRAINING_ONLY)}
    trained.load(model, replace(weights, state=kept), explain)


def embed(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Features (B, C) of pictures (B, 3, H, W), bytes, by a model in eval mode.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    features = _features(model, images, test)
    if test.flip:
        # Each of length 1 before they are averaged, so that both views count alike.
        mirrored = _features(model, images.flip(-1), test)
        features = features + mirrored
        features = unit(features) if test.normalize else features / 2
    if not torch.isfinite(features).all():
        raise UserError("the model's features are not finite: this checkpoint is of a failed run")
    return features


def _features(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    found = model(images)
    features: Tensor = found.after if test.feature == "after" else found.before
    return unit(features) if test.normalize else features


def embed_files(
    model: nn.Module,
    paths: tuple[Path, ...],
    config: Config,
    world: World,
    precision: str,
    upright: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices (M,) of the files that could be read, and their features (M, C); on rank 0.

    The precision, fp32 or bf16, is that of the forward pass; features are compared in fp32.
    People's own photos are taken upright, as their EXIF says; those of a data set as stored.
    """

    def step(batch: dict[str, Tensor]) -> list[tuple[int, NDArray[np.float32]]]:
        with torch.autocast(world.device.type, torch.bfloat16, enabled=precision == "bf16"):
            features = embed(model, batch["image"], config.test).cpu().numpy()
        return list(zip(batch["index"].tolist(), features, strict=True))

    rows = infer(
        ScoringSet(paths, config.data, upright),
        step,
        batch_size=config.engine.batch_size,
        workers=config.loader.workers,
        world=world,
        title="embedding",
    )
    indices = np.array([index for index, _ in rows], dtype=np.int64)
    if not rows:
        return indices, np.empty((0, 0), dtype=np.float32)
    return indices, np.stack([feature for _, feature in rows])


def compare(
    query: NDArray[np.float32], gallery: NDArray[np.float32], test: ScoringConfig
) -> Iterator[NDArray[np.float32]]:
    """Distances of queries (Q, C) to a gallery (G, C) as blocks of rows, as the test says."""
    searched, among = torch.from_numpy(query), torch.from_numpy(gallery)
    if test.expansion:
        searched = expand(
            searched, among, test.expansion, test.expansion_power, normalize=test.normalize
        )
    if test.rerank:
        return rerank(searched, among, test.rerank_k1, test.rerank_k2, test.rerank_weight)
    return distances(searched, among)
