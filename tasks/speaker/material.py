"""What `data.read` gives: trial lists with their files, and the speakers that are trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.speaker.speakers import Speakers
from tasks.speaker.trials import Trials


@dataclass(frozen=True)
class TrialSet:
    """A trial list with the file of each of its recordings."""

    trials: Trials
    files: tuple[Path, ...]
    """In the order of `trials.recordings`."""
    speakers: frozenset[str]
    """Who speaks in them, by name."""

    @property
    def name(self) -> str:
        """Of the list, without its suffix."""
        return self.trials.file.stem


@dataclass(frozen=True)
class Material:
    """Everything that a run is trained on and scored on."""

    root: Path
    sets: tuple[TrialSet, ...]
    """The first one chooses the best epoch."""
    speakers: Speakers | None
    """Training speakers; None if they are not at hand, which scoring by cosine can do without."""
    calibration: TrialSet | None
    shared: frozenset[str] = frozenset()
    """Names that speakers of the lists have in common with training speakers, where allowed."""

    @property
    def training(self) -> Speakers:
        """The training speakers, where they were asked for."""
        if self.speakers is None:
            raise ValueError("read without training speakers")
        return self.speakers

    def files(self) -> list[Path]:
        """Each recording of all lists once."""
        sets = [*self.sets, *([self.calibration] if self.calibration else [])]
        return list(dict.fromkeys(file for one in sets for file in one.files))

    def cohort(self, per_speaker: int) -> tuple[list[str], NDArray[np.int64]]:
        """Files and speakers of the utterances that stand for the training speakers."""
        if self.speakers is None:
            return [], np.empty(0, dtype=np.int64)
        chosen = self.speakers.some(per_speaker)
        return [self.speakers.files[index] for index in chosen], self.speakers.labels[chosen]

    def summary(self) -> str:
        """One line for the log."""
        lists = "; ".join(one.trials.summary() for one in self.sets)
        speakers = "no training speakers" if self.speakers is None else self.speakers.summary()
        line = f"training on {speakers}; scoring on {lists}"
        if self.shared:
            line += f"; {len(self.shared):,} of their speakers have names of training speakers"
        return line
