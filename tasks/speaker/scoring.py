"""From embeddings to scores: cosine, without the mean, or normalised by a cohort.

The backend is what training speakers say about embeddings in general: their mean and, one vector a
speaker, the cohort. It is saved beside a run's scores, so that predict scores as evaluate did.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from tasks.speaker.config import Scoring
from tasks.speaker.metrics import (
    Floats,
    cohort_statistics,
    cosine_scores,
    normalised,
    symmetric_normalisation,
)

Embeddings = NDArray[np.float32]

SCORINGS: tuple[Scoring, ...] = ("cosine", "mean", "s-norm", "as-norm")


@dataclass(frozen=True)
class Backend:
    """Mean embedding (D,) and cohort (K, D) of training speakers, neither shifted nor scaled."""

    mean: Embeddings
    cohort: Embeddings
    """The mean embedding of each speaker, after the mean of all was taken off; length 1."""

    @staticmethod
    def of(embeddings: Embeddings, labels: NDArray[np.int64]) -> "Backend":
        """The backend of training utterances (N, D) with their speakers (N,)."""
        mean = embeddings.mean(axis=0)
        speakers, place = np.unique(labels, return_inverse=True)
        sums = np.zeros((len(speakers), embeddings.shape[1]), dtype=np.float64)
        np.add.at(sums, place, embeddings - mean)
        counts = np.bincount(place)[:, None]
        return Backend(mean, normalised((sums / counts).astype(np.float32)))

    def save(self, path: Path) -> None:
        """Write it as an .npz file."""
        np.savez(path, mean=self.mean, cohort=self.cohort)

    @staticmethod
    def read(path: Path) -> "Backend":
        """Read what `save` wrote. Raises UserError if it is not there or something else."""
        try:
            with np.load(path, allow_pickle=False) as content:
                mean, cohort = content["mean"], content["cohort"]
            if mean.ndim != 1 or cohort.shape[1:] != mean.shape:
                raise ValueError(f"mean {mean.shape} and cohort {cohort.shape}")
            return Backend(mean, cohort)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; run tasks.speaker.evaluate first") from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: is not what evaluate wrote ({error})") from None


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of recordings in one of the four ways."""

    scoring: Scoring
    top: int
    backend: Backend | None
    """Needed by every way but cosine."""

    def __call__(
        self,
        enrol: Embeddings,
        test: Embeddings,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
    ) -> Floats:
        """Scores (N,) of trials between embeddings enrol (U, D) and test (V, D).

        `first` and `second` (N,) are places in them. May be the same array twice.
        """
        same = enrol is test
        enrol = self._prepared(enrol)
        test = enrol if same else self._prepared(test)
        scores = cosine_scores(enrol, test, first, second)
        if self.scoring in ("cosine", "mean") or self.backend is None:
            return scores
        top = self.top if self.scoring == "as-norm" else None
        left = cohort_statistics(enrol, self.backend.cohort, top)
        right = left if same else cohort_statistics(test, self.backend.cohort, top)
        return symmetric_normalisation(
            scores, (left[0][first], left[1][first]), (right[0][second], right[1][second])
        )

    def _prepared(self, embeddings: Embeddings) -> Embeddings:
        if self.scoring == "cosine":
            return normalised(embeddings)
        if self.backend is None:
            raise ValueError(f"{self.scoring} needs embeddings of training speakers")
        return normalised(embeddings - self.backend.mean)
