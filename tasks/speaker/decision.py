"""The threshold of a run with its error rates: what predict's verdicts rest on."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from common import outputs
from common.errors import UserError
from tasks.speaker.config import Scoring

FILE, BACKEND = "decision.json", "backend.npz"
"""Names in a run directory: the decision, and the mean and cohort that its scores need."""


_OPTIONAL = ("slope", "offset")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A threshold on scores, and what it does on the trials that it was found on."""

    threshold: float
    """Scores from here on are called the same speaker."""
    eer: float
    misses: float
    """Share of same-speaker trials that it rejects."""
    false_accepts: float
    """Share of different-speaker trials that it accepts."""
    trials: str
    """Name of the list."""
    count: int
    """Its trials."""
    scoring: Scoring
    top: int
    """Cohort speakers of as-norm."""
    slope: float | None
    offset: float | None
    """Score to natural log-likelihood ratio; None without a calibration."""
    calibrated_on: str
    checkpoint: str
    """sha256 of the checkpoint whose scores these are."""
    heard: str = ""
    """How much was heard of the trials, such as "0.5 s of each recording"; "" is all."""

    def likelihood_ratio(self, score: float) -> float | None:
        """How many times likelier one speaker is than two, if it was calibrated."""
        if self.slope is None or self.offset is None:
            return None
        return math.exp(min(700.0, self.slope * score + self.offset))

    def reliability(self) -> str:
        """One sentence with the error rates of the verdicts."""
        cut = f", of which it heard {self.heard}," if self.heard else ""
        others = "whole recordings" if self.heard else "other recordings may"
        return (
            f"On the {self.count:,} trials of {self.trials}{cut} this threshold "
            f"({self.threshold:.4f}, {self.scoring}) rejected {100 * self.misses:.2f} % of the "
            f"same-speaker and accepted {100 * self.false_accepts:.2f} % of the different-speaker "
            f"trials; {others} have other rates."
        )

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        outputs.write_text(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def read_decision(path: Path) -> Decision:
    """Read what `Decision.write` wrote. Raises UserError if it is not there or something else."""
    try:
        found = Decision(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run tasks.speaker.evaluate first") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is not a decision that evaluate wrote ({error})") from None
    for name in ("threshold", "eer", "misses", "false_accepts", "slope", "offset"):
        value = getattr(found, name)
        if not isinstance(value, int | float) and not (value is None and name in _OPTIONAL):
            raise UserError(f"{path}: is not a decision that evaluate wrote ({name} is {value!r})")
    if found.scoring not in get_args(Scoring) or not isinstance(found.count, int):
        raise UserError(
            f"{path}: is not a decision that evaluate wrote (scoring {found.scoring}, count "
            f"{found.count})"
        )
    return found
