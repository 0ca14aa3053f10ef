"""Recordings that disturb: MUSAN's noise, music and speech, and the impulse responses of rooms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError
from tasks.speaker import audio
from tasks.speaker.config import DataConfig
from tasks.speaker.features import RATE, Channel
from tasks.speaker.transforms import SNR_DB, Wave, add_noise, fit, reverberate


@dataclass(frozen=True)
class Disturbances:
    """What can be laid over a crop; without any, crops stay as they are."""

    probability: float = 0.0
    noises: tuple[tuple[str, tuple[Path, ...]], ...] = ()
    """The kinds of SNR_DB, each with its files."""
    rooms: tuple[Path, ...] = ()
    channel: Channel = "mean"
    """What several channels of such a file become."""

    def apply(self, wave: Wave, generator: np.random.Generator) -> Wave:
        """The wave (N,), or with chance `probability` the wave in a room or with a noise.

        Both are as likely where both are given, and each kind of noise as any other.

        Raises:
            DamagedFile: a file of theirs cannot be read.
        """
        if not (self.noises or self.rooms) or generator.random() >= self.probability:
            return wave
        if self.rooms and (not self.noises or generator.random() < 0.5):
            path = self.rooms[int(generator.integers(len(self.rooms)))]
            return reverberate(wave, audio.read(path, channel=self.channel))
        kind, files = self.noises[int(generator.integers(len(self.noises)))]
        path = files[int(generator.integers(len(files)))]
        seconds = len(wave) / RATE
        with audio.opened(path, self.channel) as recording:
            latest = max(0.0, recording.seconds - seconds)
            noise = recording.read(generator.uniform(0, latest), seconds)
        low, high = SNR_DB[kind]
        return add_noise(wave, fit(noise, len(wave)), generator.uniform(low, high))


def find_disturbances(root: Path, config: DataConfig) -> Disturbances:
    """The files below --data.noise and --data.rooms, which may lie below the root.

    Raises:
        UserError: a folder is missing, or holds nothing of its kind.
    """
    noises: list[tuple[str, tuple[Path, ...]]] = []
    rooms: tuple[Path, ...] = ()
    if config.noise is not None:
        folder = _folder("--data.noise", root, config.noise)
        for kind in SNR_DB:
            if (folder / kind).is_dir():
                noises.append((kind, _recordings(folder / kind)))
        if not noises:
            raise UserError(
                f"--data.noise {config.noise}: {folder} holds none of the folders "
                f"{', '.join(SNR_DB)}; give the folder of MUSAN that holds them"
            )
    if config.rooms is not None:
        rooms = _recordings(_folder("--data.rooms", root, config.rooms))
    return Disturbances(config.augment_probability, tuple(noises), rooms, config.channel)


def _folder(flag: str, root: Path, given: Path) -> Path:
    folder = root / given
    if not folder.is_dir():
        raise UserError(f"{flag} {given}: {folder} is not a folder")
    return folder


def _recordings(folder: Path) -> tuple[Path, ...]:
    return tuple(audio.list_recordings([folder]))
