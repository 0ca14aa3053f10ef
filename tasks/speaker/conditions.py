"""Scores of a model under every condition: trial list, length of the recordings, way of scoring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from common.errors import UserError
from common.training.distributed import World
from tasks.speaker.config import Config, Scoring
from tasks.speaker.inference import embed
from tasks.speaker.material import Material, TrialSet
from tasks.speaker.metrics import (
    Calibration,
    EqualErrors,
    Floats,
    equal_errors,
    fit_calibration,
    least_log_likelihood_cost,
    log_likelihood_cost,
    operating_points,
    verification_scores,
)
from tasks.speaker.scoring import SCORINGS, Backend, Embeddings, Scorer

CALIBRATION_TRIALS = 10_000
"""Most target trials, and as many nontarget ones, that are made of training speakers."""

_SEED = 0


@dataclass(frozen=True)
class Condition:
    """The scores of one list at one length in one way."""

    trials: TrialSet
    seconds: float
    """To which recordings were cut; 0 is their full length."""
    scoring: Scoring
    kept: NDArray[np.int64]
    """(N,) rows of the list whose recordings could be read."""
    scores: Floats
    """(N,)"""
    metrics: dict[str, float]
    """EER, minDCF01, minDCF05."""

    @property
    def target(self) -> NDArray[np.bool_]:
        """(N,) labels of the scores."""
        return self.trials.trials.target[self.kept]


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one evaluation."""

    conditions: list[Condition]
    """The headline comes first."""
    backend: Backend | None
    calibration: Calibration | None
    calibrated_on: str
    """What the calibration was fitted on."""
    equal: EqualErrors
    """Of the headline."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the headline, with Cllr after calibration and the least Cllr that it could reach."""


class Voices:
    """Embeddings of recordings by their file; those that could not be read are missing."""

    def __init__(
        self, files: Sequence[Path | str], found: tuple[Embeddings, NDArray[np.int64]]
    ) -> None:
        self.vectors, places = found
        self.place = {str(files[place]): row for row, place in enumerate(places.tolist())}

    def rows(self, files: Sequence[Path | str]) -> NDArray[np.int64]:
        """(M,) row of each file in `vectors`, -1 for a missing one."""
        return np.array([self.place.get(str(file), -1) for file in files], dtype=np.int64)


@dataclass(frozen=True)
class _Speakers:
    """Utterances of training speakers."""

    files: Sequence[str]
    labels: NDArray[np.int64]
    """(M,) speaker of each file, sorted."""
    voices: Mapping[float, Voices]
    """By length; none without training speakers."""

    def backend(self) -> Backend | None:
        """What the whole utterances that can be read say about embeddings."""
        if not self.voices:
            return None
        rows, labels = self.read(self.voices[0.0])
        return Backend.of(self.voices[0.0].vectors[rows[0]], labels)

    def read(self, *sides: Voices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (S, N) in each of S sides of what all of them could read, and its speakers (N,)."""
        rows = np.stack([side.rows(self.files) for side in sides])
        there = (rows >= 0).all(axis=0)
        return rows[:, there], self.labels[there]


def quick_scores(
    model: nn.Module, material: Material, config: Config, world: World
) -> dict[str, float]:
    """EER and costs on the first list at the first length by plain cosine, as training watches."""
    one = material.sets[0]
    seconds = config.test.seconds[0]
    found = embed(model, one.files, config, world, seconds, "evaluating")
    voices = Voices(one.files, found)
    scorer = Scorer("cosine", config.test.top, None)
    return _condition(one, seconds, scorer, voices, voices).metrics


def all_scores(model: nn.Module, material: Material, config: Config, world: World) -> Evaluation:
    """Score everything; called on all ranks, which share the embedding.

    Raises:
        UserError: the way of scoring needs training speakers, and there are none.
    """
    test = config.test
    _require_speakers(test.scoring, material, config)
    known, labels = material.cohort(test.cohort_utterances)
    speakers = _Speakers(known, labels, _embed_cohort(model, known, material, config, world))
    cohort, backend = speakers.voices, speakers.backend()
    scorers = {
        scoring: Scorer(scoring, test.top, backend)
        for scoring in SCORINGS
        if backend is not None or scoring == "cosine"
    }
    files = material.files()
    lengths = list(dict.fromkeys([0.0, *test.seconds] if test.cut == "test" else test.seconds))
    voices = {
        seconds: Voices(files, embed(model, files, config, world, seconds, _title(seconds)))
        for seconds in lengths
    }
    conditions = [
        _condition(one, seconds, scorer, _enrolment(voices, seconds, test.cut), voices[seconds])
        for scorer in _headline_first(scorers, test.scoring)
        for seconds in test.seconds
        for one in material.sets
    ]
    # As the headline's trials are heard, so are those that it is calibrated on.
    first, heard = test.seconds[0], voices if material.calibration is not None else cohort
    pair = (_enrolment(heard, first, test.cut), heard[first]) if heard else None
    calibration, source = _calibrate(scorers[test.scoring], material, pair, speakers)
    return _summed_up(conditions, backend, calibration, source)


def _embed_cohort(
    model: nn.Module, files: Sequence[str], material: Material, config: Config, world: World
) -> dict[float, Voices]:
    """Voices of the training speakers' utterances by length.

    Whole, and as long as the headline's trials if these are calibrated on them.
    """
    if not files:
        return {}
    cohort = {0.0: Voices(files, embed(model, files, config, world, title="cohort"))}
    first = config.test.seconds[0]
    if first and material.calibration is None:
        part = embed(model, files, config, world, first, f"cohort, {first:g} s")
        cohort[first] = Voices(files, part)
    return cohort


def _require_speakers(scoring: Scoring, material: Material, config: Config) -> None:
    if scoring != "cosine" and material.speakers is None:
        raise UserError(
            f"--test.scoring {scoring}: needs the training speakers, and {material.root} holds no "
            f"--data.train {config.data.train}; only cosine can do without"
        )


def _summed_up(
    conditions: list[Condition],
    backend: Backend | None,
    calibration: Calibration | None,
    source: str,
) -> Evaluation:
    headline = conditions[0]
    metrics = dict(headline.metrics)
    if calibration is not None:
        metrics["Cllr"] = log_likelihood_cost(calibration(headline.scores), headline.target)
    metrics["minCllr"] = least_log_likelihood_cost(headline.scores, headline.target)
    equal = equal_errors(operating_points(headline.scores, headline.target))
    return Evaluation(conditions, backend, calibration, source, equal, metrics)


def _title(seconds: float) -> str:
    return f"embedding {seconds:g} s" if seconds else "embedding"


def _enrolment(voices: Mapping[float, Voices], seconds: float, cut: str) -> Voices:
    return voices[0.0] if cut == "test" else voices[seconds]


def _headline_first(scorers: Mapping[Scoring, Scorer], headline: Scoring) -> list[Scorer]:
    return [scorers[headline], *(scorers[name] for name in scorers if name != headline)]


def _condition(
    one: TrialSet, seconds: float, scorer: Scorer, enrol: Voices, test: Voices
) -> Condition:
    trials = one.trials
    first, second = enrol.rows(one.files)[trials.enrol], test.rows(one.files)[trials.test]
    kept = np.flatnonzero((first >= 0) & (second >= 0))
    target = trials.target[kept]
    if target.all() or not target.any():
        raise UserError(
            f"{trials.file}: of its {len(trials):,} trials {len(kept):,} have recordings that can "
            "be read, and these are not of both kinds"
        )
    scores = scorer(enrol.vectors, test.vectors, first[kept], second[kept])
    return Condition(
        one, seconds, scorer.scoring, kept, scores, verification_scores(scores, target)
    )


def _calibrate(
    scorer: Scorer,
    material: Material,
    pair: tuple[Voices, Voices] | None,
    speakers: _Speakers,
) -> tuple[Calibration | None, str]:
    """The calibration, and what it was fitted on.

    `pair` are the voices of both sides: of the calibration's list, or of the training speakers;
    None without either.
    """
    if pair is None:
        return None, "nothing"
    if material.calibration is not None:
        one = _condition(material.calibration, 0.0, scorer, *pair)
        return fit_calibration(one.scores, one.target), one.trials.name
    rows, labels = speakers.read(*pair)
    if len(set(labels.tolist())) < 2:
        return None, "nothing"
    first, second = training_trials(labels)
    target = labels[first] == labels[second]
    if not target.any():
        return None, "nothing"
    scores = scorer(pair[0].vectors, pair[1].vectors, rows[0][first], rows[1][second])
    return fit_calibration(scores, target), f"{len(first)} trials of training speakers"


def training_trials(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places (N,) and (N,) in `labels` (M,) of trials: pairs of one speaker, as many of two.

    Always the same ones. `labels` are sorted.
    """
    generator = np.random.default_rng(_SEED)
    bounds = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1], [True])))
    pairs = [
        np.stack(np.triu_indices(end - begin, 1)) + begin
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    same = np.concatenate(pairs, axis=1)
    if same.shape[1] > CALIBRATION_TRIALS:
        same = same[:, np.sort(generator.permutation(same.shape[1])[:CALIBRATION_TRIALS])]
    other = generator.integers(len(labels), size=(2, 2 * same.shape[1] + 2))
    other = other[:, labels[other[0]] != labels[other[1]]][:, : same.shape[1]]
    both = np.concatenate((same, other), axis=1)
    return both[0], both[1]
