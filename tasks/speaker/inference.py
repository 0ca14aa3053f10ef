"""From a run to a predictor, and from recordings to embeddings."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backbone import Pyramid
from common.commands import trained
from common.commands.opened import Opened, opened
from common.commands.predictor import Device, Precision, flags_of, groups
from common.errors import UserError
from common.training import distributed
from common.training.distributed import World, choose_device
from common.training.evaluation import infer
from tasks.speaker.audio import Wave
from tasks.speaker.config import Config, ScoredConfig
from tasks.speaker.data import ScoringSet, load, long_enough
from tasks.speaker.features import Channel
from tasks.speaker.judge import Comparison, Judge, read_judge
from tasks.speaker.model import LAYOUT, SpeakerModel, build, without_classifier
from tasks.speaker.scoring import Embeddings
from tasks.speaker.transforms import is_silent

Recording = Wave | Path | str
"""Samples (N,), float32 of -1..1 at 16 kHz, or a file."""


class Voice(NamedTuple):
    """How a recording sounds."""

    embedding: NDArray[np.float32]
    """(D,), of any length; two are compared by their cosine, or as the run's evaluation did."""


def open_model(config: ScoredConfig, device: torch.device) -> Opened[SpeakerModel]:
    """The trained model that the config names, without the classifier of its training speakers.

    Raises:
        UserError: it is missing, damaged or another model.
    """
    weights = trained.find(config, LAYOUT.translate)
    weights = replace(weights, state=without_classifier(weights.state))
    model = build(config.backbone, config.model, speakers=None)
    return opened(config, model, weights, LAYOUT.explain, device)


class Predictor:
    """Embeds and compares recordings of any length; what is under half a second is repeated.

        predictor = Predictor.open("runs/speaker")
        predictor.compare("a.wav", "b.mp3").verdict    # "same speaker" or "different speakers"
        predictor.embed(["a.wav", "b.mp3"])            # (2, D)

    There is nothing to draw, and no `trunk_input`: no picture goes through this trunk.

    Args:
        model: as `open_model` gives it.
        config: of the run.
    """

    def __init__(self, model: Opened[SpeakerModel], config: ScoredConfig) -> None:
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

    def __call__(self, recording: Recording) -> Voice:
        """The embedding of a recording.

        Raises:
            DamagedFile: the file cannot be read or is silent.
            ValueError: the samples are of another type, silent or not finite.
            UserError: the embedding is not finite; the model is broken.
        """
        return self.many([recording])[0]

    def many(self, recordings: Sequence[Recording]) -> list[Voice]:
        """The embeddings of several; those of equal length go through the network together."""
        return [Voice(embedding) for embedding in self.embed(recordings)]

    def embed(self, recordings: Sequence[Recording]) -> Embeddings:
        """The embeddings (N, D) of N recordings."""
        waves = [self._wave(recording) for recording in recordings]
        found = np.empty((len(waves), self.config.model.embedding), dtype=np.float32)
        for places in groups([len(wave) for wave in waves], self.config.engine.batch_size):
            batch = self._batch([waves[place] for place in places])
            with self.opened.running():
                found[places] = finite(self.opened.network(batch))
        return found

    @cached_property
    def judge(self) -> Judge:
        """How the run's last evaluation scores and judges pairs.

        Raises:
            UserError: the run was not evaluated, or with another checkpoint than this one.
        """
        return read_judge(self.config, self.opened.weights)

    def compare(self, first: Recording, second: Recording) -> Comparison:
        """Whether one person speaks in both.

        Raises:
            UserError: as `judge` and a call do.
        """
        return self.judge(self.embed([first, second]), [(0, 1)])[0]

    def describe(self, found: Voice | Comparison) -> dict[str, Any]:
        """The numbers of an embedding, or what there is of score, verdict and likelihood ratio."""
        if isinstance(found, Voice):
            return {"embedding": found.embedding.tolist()}
        listed: dict[str, Any] = {"score": round(found.score, 6)}
        if found.verdict is not None:
            listed["verdict"] = found.verdict
        if found.likelihood_ratio is not None:
            listed["likelihood_ratio"] = float(f"{found.likelihood_ratio:.4g}")
        return listed

    def features(self, recording: Recording) -> Pyramid[Tensor]:
        """The first half of a call: what the trunk makes of a recording, (1, C, F, T) a stage."""
        layers = self.opened.layers
        with self.opened.running():
            pyramid: Pyramid[Tensor] = layers.backbone(
                layers.prepare(self._batch([self._wave(recording)]))
            )
        return pyramid

    def answer(self, features: Pyramid[Tensor]) -> Voice:
        """The second half: the embedding."""
        with self.opened.running():
            return Voice(finite(self.opened.layers.answer(features))[0])

    def _wave(self, recording: Recording) -> Wave:
        return wave_of(recording, self.config.data.channel)

    def _batch(self, waves: Sequence[Wave]) -> Tensor:
        return torch.from_numpy(np.stack(waves)).to(self.opened.device)


def wave_of(recording: Recording, channel: Channel) -> Wave:
    """Samples (N,) for the model: of a file, whose channels become one, or those that were given.

    Raises:
        DamagedFile: the file cannot be read or is silent.
        ValueError: the samples are of another type, silent or not finite.
    """
    if isinstance(recording, str | Path):
        return load(Path(recording), channel)
    if recording.ndim != 1 or recording.dtype != np.float32:
        raise ValueError(
            f"the recording is {recording.dtype} of shape {recording.shape}; needed: float32 (N,) "
            "of -1..1, one channel at 16 kHz"
        )
    if is_silent(recording) or not np.isfinite(recording).all():
        raise ValueError("the recording is silent, or holds samples that are NaN or infinite")
    return long_enough(recording)


def finite(vectors: Tensor) -> Embeddings:
    """Embeddings (B, D) as an array.

    Raises:
        UserError: a number is not finite; the model is broken.
    """
    found: Embeddings = vectors.cpu().numpy()
    if not np.isfinite(found).all():
        raise UserError("the embeddings are not finite: this checkpoint is of a failed run")
    return found


def embed(
    model: nn.Module,
    files: Sequence[Path | str],
    config: Config,
    world: World,
    seconds: float = 0.0,
    title: str = "embedding",
) -> tuple[Embeddings, NDArray[np.int64]]:
    """Embeddings (M, D) of the recordings that can be read, and their places (M,) in `files`.

    The ranks share the work, and all of them get the result. The arguments are those of
    `embed_some`.

    Raises:
        UserError: as there; or not one recording can be read.
    """
    found = embed_some(model, files, config, world, seconds, title)
    if not found:
        raise UserError(f"{title}: not one of the {len(files)} recordings can be read")
    places = np.array([place for place, _ in found], dtype=np.int64)
    return np.stack([vector for _, vector in found]), places


def embed_some(
    model: nn.Module,
    files: Sequence[Path | str],
    config: Config,
    world: World,
    seconds: float = 0.0,
    title: str = "embedding",
) -> list[tuple[int, NDArray[np.float32]]]:
    """Place in `files` and embedding (D,) of each recording that can be read, on all ranks.

    Args:
        model: a network that takes waveforms (B, N) and gives embeddings, in eval mode.
        files: recordings.
        config: of data (on_error, channel), loader and engine (batch size).
        world: the ranks.
        seconds: only so much from the beginning; 0 takes all of each, one at a time, because a
            batch needs equal lengths.
        title: for the progress bar and the count of what was left out.

    Raises:
        UserError: a recording cannot be read, unless config.data.on_error is skip; or an embedding
            is not finite.
    """

    def step(batch: dict[str, Tensor]) -> list[tuple[int, NDArray[np.float32]]]:
        vectors = finite(model(batch["wave"]))
        return list(zip(batch["index"].tolist(), vectors, strict=True))

    found = infer(
        ScoringSet(files, config.data, seconds),
        step,
        batch_size=config.engine.batch_size if seconds else 1,
        workers=config.loader.workers,
        world=world,
        title=title,
    )
    return distributed.share(found, world)
