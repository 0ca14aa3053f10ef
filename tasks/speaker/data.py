"""Data sets of utterances: a crop of a waveform with its speaker, or a recording to embed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from common.errors import DamagedFile
from common.reading.left_out import LeftOut, OnError
from tasks.speaker import audio
from tasks.speaker.audio import Recording, Wave
from tasks.speaker.config import Config, DataConfig
from tasks.speaker.features import RATE, SHORTEST
from tasks.speaker.noise import Disturbances, find_disturbances
from tasks.speaker.speakers import Speakers
from tasks.speaker.transforms import dither, fit, is_silent, mask_positions


class TrainSet:
    """Crops of the speakers' utterances; common.training.sampling draws from it.

    Speeds make speakers: with S of them, label `s + k * S` is speaker s at the k-th speed.
    """

    def __init__(
        self, speakers: Speakers, config: DataConfig, bins: int, disturbances: Disturbances
    ) -> None:
        self.speakers, self.config, self.bins = speakers, config, bins
        self.disturbances = disturbances

    @property
    def classes(self) -> int:
        """Number of labels."""
        return len(self.speakers.names) * len(self.config.speeds)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.speakers)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Wave (N,) float32 of -1..1, masks (4,) to hide (transforms.mask_positions), label, index.

        Raises DamagedFile when the recording cannot be read or is silent.
        """
        config = self.config
        kind = int(generator.integers(len(config.speeds)))
        speed = config.speeds[kind]
        length = round(config.seconds * RATE)
        with audio.opened(Path(self.speakers.files[index])) as recording:
            # One sample more than needed, because lengths at other rates are rounded.
            wave = _crop(recording, config.seconds * speed + 1 / RATE, generator)
        wave = fit(audio.change_speed(wave, speed), length)
        wave = self.disturbances.apply(wave, generator)
        wave = dither(wave, config.dither, generator)
        return {
            "wave": wave,
            "masks": mask_positions(length, self.bins, config, generator),
            "label": int(self.speakers.labels[index]) + kind * len(self.speakers.names),
            "index": index,
        }


def training_set(speakers: Speakers, root: Path, config: Config) -> TrainSet:
    """The speakers' crops with the augmentations of the config.

    Raises:
        UserError: --data.noise or --data.rooms is not there.
    """
    disturbances = find_disturbances(root, config.data)
    return TrainSet(speakers, config.data, config.model.bins, disturbances)


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole recordings, or their first seconds, to be embedded one by one.

    A recording that cannot be read is None when on_error is "skip", and told on stderr.
    """

    def __init__(
        self, files: Sequence[Path | str], seconds: float = 0.0, on_error: OnError = "stop"
    ) -> None:
        self.files, self.seconds, self.on_error = files, seconds, on_error

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Wave (N,) float32 of -1..1 and index; N is the same for all if `seconds` is given."""
        with LeftOut(self.on_error):
            return {"wave": load(Path(self.files[index]), self.seconds), "index": index}
        return None


def load(path: Path, seconds: float = 0.0) -> Wave:
    """A recording (N,) for the model: its first `seconds`, or all of it if that is 0.

    One that is shorter than asked for, or than SHORTEST, is repeated.

    Raises:
        DamagedFile: it cannot be read or is silent.
    """
    wave = audio.read(path, 0.0, seconds or None)
    if is_silent(wave):
        part = "" if not seconds else f" in its first {seconds:g} s"
        raise DamagedFile(f"{path}: is silent{part}: all samples are equal")
    length = round(seconds * RATE) if seconds else max(len(wave), round(SHORTEST * RATE))
    return fit(wave, length)


def _crop(recording: Recording, seconds: float, generator: np.random.Generator) -> Wave:
    """A part of a recording at a random place, or all of it if it is shorter."""
    latest = max(0.0, recording.seconds - seconds)
    wave = recording.read(generator.uniform(0, latest), seconds)
    if not is_silent(wave):
        return wave
    # Some recordings begin or pause with digital silence: then crop where there is sound.
    whole = recording.read()
    if is_silent(whole):
        raise DamagedFile(f"{recording.path}: is silent: all samples are equal")
    first = int(np.flatnonzero(whole != whole[0])[0])
    count = int(np.ceil(seconds * RATE))
    start = max(0, min(first, len(whole) - count))
    return whole[start : start + count]
