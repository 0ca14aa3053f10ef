"""What a command reads before it builds a model: trials, their files, the training speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from tasks.speaker import sample
from tasks.speaker.config import Config
from tasks.speaker.scoring import refuse_overlap
from tasks.speaker.speakers import Speakers, find_files, read_speakers
from tasks.speaker.trials import Trials, read_trials


@dataclass(frozen=True)
class TrialSet:
    """A trial list with the file of each of its recordings."""

    trials: Trials
    files: tuple[Path, ...]
    """In the order of `trials.recordings`."""

    @property
    def name(self) -> str:
        """Of the list, without its suffix."""
        return self.trials.file.stem


@dataclass(frozen=True)
class Material:
    """Everything that a run learns from and is scored on."""

    root: Path
    sets: tuple[TrialSet, ...]
    """The first one chooses the best epoch."""
    speakers: Speakers | None
    """Training speakers; None if they are not at hand, which scoring by cosine can do without."""
    calibration: TrialSet | None

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
        learnt = "no training speakers" if self.speakers is None else self.speakers.summary()
        return f"training on {learnt}; scoring on {lists}"


def read_material(config: Config, need_speakers: bool = True) -> Material:
    """Read and check everything, or raise UserError with one line.

    Args:
        config: names root, training speakers and lists.
        need_speakers: without them the lists are still read if --data.train is not there.
    """
    data = config.data
    root = data.root or sample.sample_set()
    there = need_speakers or (root / data.train).exists()
    require = data.on_error == "stop"
    speakers = read_speakers(root, data.train, data.audio, require) if there else None
    sets = tuple(_read_set(root, file, data.audio, require) for file in data.trials)
    calibration = None
    if config.test.calibration is not None:
        calibration = _read_set(root, config.test.calibration, data.audio, require)
    for one in sets:
        file = one.trials.file
        same = [other.trials.file for other in sets if other.name == one.name]
        if len(same) > 1:
            raise UserError(
                f"--data.trials: {same[0]} and {same[1]} are both called {one.name}, and so would "
                "their results be; give one of them another name"
            )
        if speakers is not None:
            refuse_overlap(set(speakers.names), one.trials.speakers(), speakers.source, file)
            _refuse_learnt(speakers, one)
        if calibration is not None:
            other = calibration.trials
            refuse_overlap(other.speakers(), one.trials.speakers(), other.file, file)
    return Material(root, sets, speakers, calibration)


def _refuse_learnt(speakers: Speakers, one: TrialSet) -> None:
    """Refuse recordings that are learnt as well, whatever their speakers are called."""
    learnt = set(speakers.files)
    both = [file for file in map(str, one.files) if file in learnt]
    if both:
        raise UserError(
            f"{one.trials.file}: {len(both)} of its {len(one.files)} recordings are training "
            f"recordings of {speakers.source}, such as {both[0]}; scores of voices that the model "
            "knows mean nothing"
        )


def _read_set(root: Path, file: Path, audio: Sequence[Path], require: bool) -> TrialSet:
    trials = read_trials(root / file)
    return TrialSet(trials, tuple(find_files(trials.recordings, root, audio, root / file, require)))
