"""From embeddings to verdicts: pairs are scored as the run's last evaluation scored, and judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from common.commands import card
from common.commands import config as configuration
from common.commands.trained import Trained
from common.errors import UserError
from tasks.speaker import decision
from tasks.speaker.config import Config, ScoredConfig
from tasks.speaker.decision import Decision, read_decision
from tasks.speaker.scoring import Backend, Embeddings, Scorer

Verdict = Literal["same speaker", "different speakers"]


class Comparison(NamedTuple):
    """What is said of two recordings."""

    score: float
    """Higher is likelier one speaker: a cosine, or one that a cohort has normalised."""
    verdict: Verdict | None
    """None without a threshold: of a checkpoint that belongs to no run."""
    likelihood_ratio: float | None
    """How many times likelier one speaker is than two; None if scores were not calibrated."""


class Judge(NamedTuple):
    """How pairs are scored and judged."""

    scorer: Scorer
    decision: Decision | None
    """Of the run; none without one."""
    threshold: float | None
    """Scores from here on are the same speaker: of --threshold, or else the run's."""

    def __call__(
        self, embeddings: Embeddings, pairs: Sequence[tuple[int, int]]
    ) -> list[Comparison]:
        """Compare pairs, which are places in the embeddings (N, D)."""
        first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        scores = self.scorer(embeddings, embeddings, first, second)
        return [self._judged(float(score)) for score in scores]

    def _judged(self, score: float) -> Comparison:
        verdict: Verdict | None = None
        if self.threshold is not None:
            verdict = "same speaker" if score >= self.threshold else "different speakers"
        ratio = None if self.decision is None else self.decision.likelihood_ratio(score)
        return Comparison(score, verdict, ratio)


def read_judge(config: ScoredConfig, weights: Trained) -> Judge:
    """Scorer and threshold of the run, or a plain cosine for a checkpoint without a run.

    Raises:
        UserError: the run was not evaluated, or the threshold is of another checkpoint.
    """
    if config.folder is None:
        if config.test.scoring != "cosine":
            raise UserError(f"--test.scoring {config.test.scoring}: needs --run with its cohort")
        return Judge(Scorer("cosine", config.test.top, None), None, None)
    found = read_decision(config.folder / decision.FILE)
    digest = card.describe_checkpoint(weights.file, None)["sha256"]
    if digest != found.checkpoint:
        raise UserError(
            f"{config.folder / decision.FILE}: is of another checkpoint than {weights.file}; run "
            f"python -m tasks.speaker.evaluate --run {config.run} --checkpoint "
            f"{config.checkpoint} first"
        )
    _require_scoring(config, config.folder, found)
    backend = None
    if found.scoring != "cosine":
        backend = Backend.read(config.folder / decision.BACKEND)
    return Judge(Scorer(found.scoring, found.top, backend), found, found.threshold)


def _require_scoring(config: ScoredConfig, run: Path, found: Decision) -> None:
    """Refuse flags for another way of scoring than that of the run's verdicts."""
    own, asked = configuration.read(Config, run / "config.yaml").test, config.test
    for flag in ("seconds", "cut", "cohort_utterances", "calibration"):
        if getattr(asked, flag) != getattr(own, flag):
            raise UserError(
                f"--test.{flag}: is for evaluate; predict hears whole recordings, and judges as "
                "the run's last evaluate found; leave it out"
            )
    for flag in ("scoring", "top"):
        value = getattr(asked, flag)
        if value not in (getattr(own, flag), getattr(found, flag)):
            raise UserError(
                f"--test.{flag} {value}: the run's verdicts have {getattr(found, flag)}; say "
                f"python -m tasks.speaker.evaluate --run {run} --test.{flag} {value} first"
            )
