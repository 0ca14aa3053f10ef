"""``python -m tasks.speaker.check --data.root X``: look at all of the data before training.

Reads every recording as training does, and writes OUT/check/index.html with what it found. It takes
the flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from common.check.check import Part, check
from common.check.examined import Examined, Look
from common.check.findings import Remark
from common.commands import command
from common.commands.config import parse
from common.errors import DamagedFile
from common.reading import image
from common.reading.left_out import OnError
from tasks.speaker import audio
from tasks.speaker.config import Config, DataConfig
from tasks.speaker.data import read, read_set, root_of, training_set
from tasks.speaker.features import RATE, Channel, Fbank
from tasks.speaker.learnt import learnt_before
from tasks.speaker.speakers import read_speakers
from tasks.speaker.transforms import Wave, is_silent

_QUIET_DB = -60.0
"""Level below full scale under which a stretch counts as silent."""
_STRETCH = 320
"""Samples of a stretch: 20 ms."""
_MOST_SILENT = 0.8
_MOST_CLIPPED = 0.01
_SHOWN_SECONDS = 4.0


def trained_on(config: Config, on_error: OnError) -> Examined:
    """The training utterances as the check reads them; raises UserError as `data.read` does."""
    data, root = config.data, root_of(config)
    found = read_speakers(root, data.train, data.audio, on_error == "stop")
    names = [found.names[label] for label in found.labels.tolist()]
    return replace(
        _examined(str(data.train), found.summary(), list(found.files), names, data, data.seconds),
        samples=lambda: len(training_set(found, root, config)),
    )


def scored(config: Config, file: Path, on_error: OnError) -> Examined:
    """The recordings of a trial list."""
    found = read_set(root_of(config), file, config.data.audio, on_error == "stop")
    files = [str(one) for one in found.files]
    return _examined(str(file), found.trials.summary(), files, [], config.data, 0.0)


def _examined(
    name: str,
    summary: str,
    files: list[str],
    speakers: list[str],
    data: DataConfig,
    crop: float,
) -> Examined:
    """What is examined of some recordings, and of whom they are where that is known.

    Args:
        name: of the part.
        summary: one line about it.
        files: the recordings.
        speakers: of each; or empty.
        data: says how they are read.
        crop: seconds that training takes of each; 0 for all.
    """

    def speaker(index: int) -> str | None:
        return speakers[index] if speakers else None

    def shown(index: int) -> Wave:
        return audio.read(Path(files[index]), 0.0, _SHOWN_SECONDS, data.channel)

    return Examined(
        name=name,
        summary=summary,
        files=files,
        kind=audio.RECORDINGS,
        unit="recordings",
        classes=(),
        content=lambda index: image.content(files[index]),
        header=lambda _: Look(),
        look=lambda index: _look(files[index], speaker(index), crop, data.channel),
        draw=lambda index: _spectrogram(shown(index)),
        samples=lambda: len(files),
        kinds="speakers",
        title=lambda index: speaker(index) or Path(files[index]).name,
    )


def _look(file: str, speaker: str | None, crop: float, channel: Channel) -> Look:
    """Length and rate; silence and clipping as remarks."""
    with audio.opened(Path(file), channel) as recording:
        rate, wave = recording.rate, recording.read()
    if is_silent(wave):
        raise DamagedFile(f"{file}: is silent: all samples are equal")
    seconds = len(wave) / RATE
    return Look(
        {"seconds": seconds},
        {"format": Path(file).suffix.lower().lstrip("."), "samples a second": f"{rate:,}"},
        {} if speaker is None else {speaker: 1},
        (*_quality(wave), *_short(seconds, crop)),
    )


def _quality(wave: Wave) -> list[Remark]:
    remarks = []
    stretches = wave[: len(wave) // _STRETCH * _STRETCH].reshape(-1, _STRETCH)
    power = np.square(stretches, dtype=np.float64).mean(axis=1)
    silent = float((power < 10 ** (_QUIET_DB / 10)).mean()) if len(stretches) else 0.0
    if silent > _MOST_SILENT:
        mend = "cut the silence off, or leave them out: little is learnt from them"
        detail = f"{silent:.0%} of its 20 ms stretches are below {_QUIET_DB:.0f} dB"
        remarks.append(Remark("warning", "recordings are mostly silent", detail, mend))
    top = float(np.abs(wave).max())
    clipped = float((np.abs(wave) >= top * 0.9999).mean())
    if top >= 0.99 and clipped > _MOST_CLIPPED:
        mend = "record them at a lower level, or leave them out"
        detail = f"{clipped:.1%} of the samples are at full scale"
        remarks.append(Remark("warning", "recordings are clipped", detail, mend))
    return remarks


def _short(seconds: float, crop: float) -> list[Remark]:
    if seconds >= crop:
        return []
    mend = "they are repeated; a smaller --data.seconds needs no repetition"
    detail = f"{seconds:.2f} s"
    kind = f"recordings are shorter than --data.seconds {crop:g}"
    return [Remark("note", kind, detail, mend)]


def _spectrogram(wave: Wave) -> image.Picture | None:
    """Log mel energies over time as colours (H, W, 3), low tones below."""
    energies = Fbank()(torch.from_numpy(wave)[None])[0].numpy()[::-1]
    if not energies.size:
        return None
    low, high = np.percentile(energies, (2, 99.5))
    grey = np.clip((energies - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    coloured = cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), np.uint8)


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data, calibration = config.data, config.test.calibration
    lists = [*data.trials, *([calibration] if calibration is not None else [])]
    report = check(
        "speaker",
        config,
        data.on_error,
        [
            Part("training", str(data.train), partial(trained_on, config)),
            *(Part("scoring", str(file), partial(scored, config, file)) for file in lists),
        ],
        together=lambda: read(config, learnt_before(config)),
    )
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
