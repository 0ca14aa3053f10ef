"""From a run to a predictor, from pictures to features, and from features to distances."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone import Pyramid
from common.commands import trained
from common.commands.opened import Opened, opened
from common.commands.predictor import (
    Device,
    Pass,
    Precision,
    TrunkInput,
    fingerprint,
    flags_of,
    picture_of,
)
from common.errors import UserError
from common.reading.image import Picture
from common.training.distributed import World, choose_device
from common.training.evaluation import infer
from tasks.reid import draw
from tasks.reid.config import Config, ScoredConfig, ScoringConfig
from tasks.reid.data import Reader, ScoringSet, photographs
from tasks.reid.model import LAYOUT, MEAN, STD, Features, ReidModel, build, without_persons
from tasks.reid.reranking import rerank
from tasks.reid.retrieval import distances, expand, unit
from tasks.reid.transforms import scale

Shown = Picture | Path | str
"""A picture (H, W, 3), uint8 RGB, of one person, or its file."""


class Embedding(NamedTuple):
    """What tells the person of a picture from others."""

    feature: NDArray[np.float32]
    """(C,); of length 1 unless --test.normalize is false."""


class Embedded(NamedTuple):
    """What was found in a list of files."""

    indices: NDArray[np.int64]
    """(M,), of those files that could be read."""
    features: NDArray[np.float32]
    """(M, C)"""


class TrunkFeatures(NamedTuple):
    """What the trunk makes of a picture."""

    views: list[Pyramid[Tensor]]
    """Of the picture and, with --test.flip, of its mirror image."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[ReidModel]:
    """The trained model that the config names.

    It has no classifier and no centers: those of the checkpoint are of the persons that were
    trained on, and a search needs neither.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = without_persons(trained.find(config, LAYOUT.translate))
    return opened(config, build(config.backbone, config.model), weights, LAYOUT.explain, device)


class Predictor:
    """Embeds pictures of one person each, and compares them.

        predictor = Predictor.open("runs/reid")
        distances = predictor.compare(queries, gallery)
        nearest = [gallery[index] for index in distances[0].argsort()[:10]]
        predictor.draw(queries[0], nearest)

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[ReidModel], config: ScoredConfig) -> None:
        self.opened, self.config = model, config

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        checkpoint: str = "best",
        device: Device = "auto",
        precision: Precision = "fp32",
        compile: bool = False,
        flags: Sequence[str] = (),
    ) -> Self:
        """The predictor of a run; the arguments are those of `tasks.open_run`.

        Raises:
            UserError: there is no such run, its checkpoint is damaged, or a flag is wrong.
        """
        config = flags_of(ScoredConfig, source, checkpoint, device, precision, compile, flags)
        return cls(open_model(config, choose_device(config.engine.device)), config)

    def __call__(self, picture: Shown) -> Embedding:
        """The feature of a picture (H, W, 3), uint8 RGB, or of a file.

        Raises:
            DamagedFile: the file cannot be read.
            UserError: the feature is not finite; the model is broken.
        """
        return self.many([picture])[0]

    def many(self, pictures: Sequence[Shown]) -> list[Embedding]:
        """The features of several pictures, which go through the network in batches."""
        return [Embedding(feature) for feature in self.embed(pictures)]

    def embed(self, pictures: Sequence[Shown]) -> NDArray[np.float32]:
        """The features of pictures as one array (N, C), float32."""
        found = [np.empty((0, self.opened.model.backbone.channels.c5), dtype=np.float32)]
        step = self.config.engine.batch_size
        for start in range(0, len(pictures), step):
            images = self._batch(pictures[start : start + step])
            with self.opened.running():
                features = embed(self.opened.network, images, self.config.test)
            found.append(features.cpu().numpy())
        return np.concatenate(found)

    def compare(
        self,
        first: Sequence[Shown] | Sequence[Embedding] | NDArray[np.float32],
        second: Sequence[Shown] | Sequence[Embedding] | NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Distances (N, M) of queries to a gallery: of pictures, or of what `embed` or `many` gave.

        They are squared Euclidean distances, which for features of length 1 are 2 - 2 cosine; with
        --test.expansion and --test.rerank they depend on all that are compared.
        """
        query, gallery = self._embedded(first), self._embedded(second)
        if not len(query) or not len(gallery):
            return np.empty((len(query), len(gallery)), dtype=np.float32)
        return np.concatenate(list(compare(query, gallery, self.config.test)))

    def draw(self, query: Shown, found: Sequence[Shown]) -> Picture:
        """A sheet (H, W, 3), RGB: the query, then what was found, the nearest first.

        Where the names of files tell persons as Market-1501's do, hits are framed green and others
        red; all other frames are grey. A damaged file is an empty cell, crossed.
        """
        shown = [Path(one) if isinstance(one, str) else one for one in (query, *found)]
        return draw.sheet([draw.ranked(shown[0], shown[1:])], photographs(self.config.data))

    def describe(self, found: Embedding) -> dict[str, Any]:
        """The feature as a list of numbers."""
        return {"feature": found.feature.tolist()}

    @property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        height, width = self.config.data.input_size
        return TrunkInput(
            trunk=fingerprint(self.opened.model.backbone),
            colour="RGB",
            mean=MEAN,
            std=STD,
            resize=f"to {height} x {width}, bilinear, antialiased, in bytes"
            + (", and mirrored" if self.config.test.flip else ""),
            padding="none",
            precision=self.opened.precision,
        )

    def features(self, picture: Shown, trunk: Pass | None = None) -> TrunkFeatures:
        """The first half of a call: what the trunk makes of a picture.

        Args:
            picture: as for a call.
            trunk: runs in the place of the predictor's own, such as one that several share.
        """
        images, layers = self._batch([picture]), self.opened.layers
        run = trunk or self.opened.trunk
        with self.opened.running():
            shown = views(images, self.config.test)
            return TrunkFeatures([run(layers.prepare(view)) for view in shown])

    def answer(self, features: TrunkFeatures) -> Embedding:
        """The second half: the feature, from the features of a trunk with the same input."""
        layers, test = self.opened.layers, self.config.test
        with self.opened.running():
            found = [feature_of(layers.answer(view), test) for view in features.views]
            return Embedding(combine(found, test)[0].cpu().numpy())

    def _batch(self, pictures: Sequence[Shown]) -> Tensor:
        size = self.config.data.input_size
        stacked = np.stack(
            [scale(picture_of(picture, self.config.data.orientation), size) for picture in pictures]
        )
        return torch.from_numpy(stacked).to(self.opened.device)

    def _embedded(
        self, given: Sequence[Shown] | Sequence[Embedding] | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if isinstance(given, np.ndarray):
            return given
        features = [one.feature for one in given if isinstance(one, Embedding)]
        if features:
            return np.stack(features)
        return self.embed([one for one in given if not isinstance(one, Embedding)])


def embed(model: nn.Module, images: Tensor, test: ScoringConfig) -> Tensor:
    """Features (B, C) of pictures (B, 3, H, W), bytes, by a model in eval mode.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    return combine([feature_of(model(view), test) for view in views(images, test)], test)


def views(images: Tensor, test: ScoringConfig) -> list[Tensor]:
    """The inputs that the settings make of pictures (B, 3, H, W): themselves, and mirrored."""
    return [images, images.flip(-1)] if test.flip else [images]


def feature_of(found: Features, test: ScoringConfig) -> Tensor:
    """The feature (B, C) of a view that the settings choose."""
    features = found.after if test.feature == "after" else found.before
    # A compiled network may write its next result where the last one was.
    return unit(features) if test.normalize else features.clone()


def combine(features: Sequence[Tensor], test: ScoringConfig) -> Tensor:
    """One feature (B, C) of those of all views.

    Raises:
        UserError: they are not finite; the model is broken.
    """
    found = features[0]
    if len(features) > 1:
        # Each of length 1 before they are averaged, so that both views count alike.
        total = features[0] + features[1]
        found = unit(total) if test.normalize else total / 2
    if not torch.isfinite(found).all():
        raise UserError("the model's features are not finite: this checkpoint is of a failed run")
    return found


def embed_files(
    model: nn.Module,
    paths: Sequence[Path],
    config: Config,
    world: World,
    read: Reader,
) -> Embedded:
    """The features of files, by all ranks; rank 0 gets them, the others nothing.

    `read` is `data.photographs` for people's own photos, `data.annotated` for those of a set.
    """

    def step(batch: dict[str, Tensor]) -> list[tuple[int, NDArray[np.float32]]]:
        features = embed(model, batch["image"], config.test).cpu().numpy()
        return list(zip(batch["index"].tolist(), features, strict=True))

    rows = infer(
        ScoringSet(tuple(paths), config.data, read),
        step,
        batch_size=config.engine.batch_size,
        workers=config.loader.workers,
        world=world,
        title="embedding",
    )
    indices = np.array([index for index, _ in rows], dtype=np.int64)
    if not rows:
        return Embedded(indices, np.empty((0, 0), dtype=np.float32))
    return Embedded(indices, np.stack([feature for _, feature in rows]))


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
