"""Reading recordings: any rate and channel count in, one channel at 16 kHz out, never half a file.

What libsndfile knows is read by it, GSM and NIST SPHERE among it; m4a needs PyAV, the extra
`audio`. Only the part that is asked for is decoded.
"""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from common.errors import DamagedFile, UserError
from common.reading import folders
from common.reading.folders import Kind
from tasks.speaker.features import RATE, Channel
from tasks.speaker.headers import START, require_whole, to_the_end
from tasks.speaker.ogg import ogg_fault

Wave = NDArray[np.float32]
"""Samples (N,) of one channel, full scale is -1..1."""

SUFFIXES = (
    ".wav", ".flac", ".m4a", ".ogg", ".opus", ".mp3", ".sph", ".aiff", ".aif", ".w64", ".au",
    ".caf", ".voc",
)  # fmt: skip
RECORDINGS = Kind("recording", frozenset(SUFFIXES))

_MPEG4 = frozenset({".m4a", ".mp4", ".aac"})
_UNKNOWN = 2**62  # libsndfile's number of frames where a FLAC states none is beyond this
_RATES = (100, 768_000)
# Values that are decoded at a time: a header may promise more than any memory holds.
_BLOCK = 1 << 22
# Beside a windowed sinc this long, aliases are 80 dB down; scipy's default is at 50 to 60.
_ZERO_CROSSINGS, _KAISER_BETA, _PASSBAND = 24, 8.0, 0.95


class Source(Protocol):
    """An opened recording: samples at its own rate."""

    rate: int
    frames: int

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Samples (n, channels) from `start` on; fewer than `count` only at the end."""
        ...


class Recording:
    """An opened recording; times are in seconds.

    Args:
        path: of the file.
        source: its samples.
        channel: what several channels become.

    Raises:
        DamagedFile: it is empty, or its rate is none of sound.
    """

    def __init__(self, path: Path, source: Source, channel: Channel = "mean") -> None:
        if source.frames <= 0:
            raise DamagedFile(f"{path}: holds no sound (0 samples)")
        if not _RATES[0] <= source.rate <= _RATES[1]:
            raise DamagedFile(
                f"{path}: its header says {source.rate:,} samples a second, and sound has from "
                f"{_RATES[0]:,} to {_RATES[1]:,}; copy the file again"
            )
        self.path, self._source, self._channel = path, source, channel
        self.rate, self.seconds = source.rate, source.frames / source.rate

    def read(self, start: float = 0.0, seconds: float | None = None) -> Wave:
        """Samples (N,) at 16 kHz of one channel; to the end without `seconds`.

        Raises:
            DamagedFile: the part cannot be decoded, ends early, or holds NaN or infinite samples.
        """
        source = self._source
        first = min(round(start * source.rate), source.frames)
        count = source.frames - first
        if seconds is not None:
            count = min(count, math.ceil(seconds * source.rate))
        samples = source.read(first, count)
        if len(samples) < count:
            raise DamagedFile(
                f"{self.path}: is cut short: its header says {self.seconds:.2f} s, the sound ends "
                f"after {(first + len(samples)) / source.rate:.2f} s; copy the file again"
            )
        if not np.isfinite(samples).all():
            raise DamagedFile(
                f"{self.path}: holds samples that are NaN or infinite; export it again"
            )
        first_only = self._channel == "first"
        wave: Wave = samples[:, 0] if first_only else samples.mean(axis=1, dtype=np.float32)
        return resample(wave, source.rate, RATE)


@contextmanager
def opened(path: Path, channel: Channel = "mean") -> Iterator[Recording]:
    """Open a recording and read its header; `channel` says what several channels become.

    Raises:
        DamagedFile: there is no such file, it is empty, cut short, or holds no sound that is known.
        UserError: it is m4a and PyAV is not installed.
    """
    start = _start_of(path)
    if path.suffix.lower() in _MPEG4 or start[4:8] == b"ftyp":
        # Imported here, so that nobody needs PyAV who has no m4a.
        from tasks.speaker.mpeg4 import opened_mpeg4

        with opened_mpeg4(path, start) as source:
            yield Recording(path, source, channel)
        return
    if path.suffix.lower() == ".raw":
        raise DamagedFile(f"{path}: raw samples do not say their rate; convert it to wav")
    _refuse_cut(path, start)
    try:
        with _opened(path, start) as file:
            if file.frames >= _UNKNOWN:
                raise DamagedFile(
                    f"{path}: does not say how long it is, as if written to a pipe; convert it to "
                    "wav, or write it anew"
                )
            yield Recording(path, _SoundFile(path, file), channel)
    except soundfile.LibsndfileError as error:
        raise DamagedFile(
            f"{path}: is no {path.suffix.lstrip('.') or 'sound'} that libsndfile can read "
            f"({error.error_string.rstrip('.')}; {path.stat().st_size:,} bytes, beginning with "
            f"{start[:4]!r})"
        ) from None


def read(
    path: Path, start: float = 0.0, seconds: float | None = None, channel: Channel = "mean"
) -> Wave:
    """Samples (N,) at 16 kHz of a file, or of a part of it. Raises as `opened` and `read` do."""
    with opened(path, channel) as recording:
        return recording.read(start, seconds)


def write(path: Path, wave: Wave) -> None:
    """Write samples (N,) of -1..1 at 16 kHz with 16 bits; the suffix chooses the format."""
    soundfile.write(path, np.round(np.clip(wave, -1, 32767 / 32768) * 32768).astype(np.int16), RATE)


def resample(wave: Wave, rate: int, target: int) -> Wave:
    """Samples at the rate `target` of samples at `rate`, without aliases.

    A Kaiser-windowed sinc of 24 zero crossings a side; flat to 0.9 of the lower Nyquist frequency.
    """
    if rate == target:
        return wave
    ratio = Fraction(target, rate)
    return _resample(wave, ratio.numerator, ratio.denominator)


def change_speed(wave: Wave, speed: float) -> Wave:
    """Play samples faster (speed above 1) or slower: tempo and pitch change alike."""
    ratio = Fraction(speed).limit_denominator(100)
    return wave if ratio == 1 else _resample(wave, ratio.denominator, ratio.numerator)


def is_recording(name: str) -> bool:
    """Whether a file name is a recording's; hidden ones, as macOS leaves beside each, are not."""
    return RECORDINGS.has(name)


def list_recordings(paths: Iterable[Path]) -> list[Path]:
    """Recordings among files and, at any depth, in folders; each once, a folder's sorted by name.

    Raises:
        UserError: a path does not exist, or a folder holds no recording.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(folders.below(path, RECORDINGS))
            if not inside:
                raise UserError(f"{path}: no recordings in this folder ({', '.join(SUFFIXES)})")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(found)


class _SoundFile:
    """What libsndfile reads."""

    def __init__(self, path: Path, file: "soundfile.SoundFile") -> None:
        self.path, self._file = path, file
        self.rate, self.frames = int(file.samplerate), int(file.frames)
        # A frame of mp3 borrows bits from frames before it, so the first after a jump is wrong.
        self._lead = self.rate // 4 if file.format == "MP3" else 0
        self._whole: NDArray[np.float32] | None = None

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Samples (n, channels)."""
        try:
            if not self._file.seekable():  # GSM 6.10
                if self._whole is None:
                    self._whole = self._decode(self.frames)
                return self._whole[start : start + count]
            lead = min(start, self._lead)
            self._file.seek(start - lead)
            return self._decode(lead + count)[lead:]
        except soundfile.LibsndfileError as error:
            raise DamagedFile(
                f"{self.path}: cannot be decoded from {start / self.rate:.2f} s on "
                f"({error.error_string.rstrip('.')}); is it cut short? copy the file again"
            ) from None

    def _decode(self, count: int) -> NDArray[np.float32]:
        """The next samples (n, channels), block by block."""
        most = max(1, _BLOCK // self._file.channels)
        blocks: list[NDArray[np.float32]] = []
        while True:
            wanted = min(count, most)
            blocks.append(self._file.read(wanted, dtype="float32", always_2d=True))
            count -= wanted
            if count == 0 or len(blocks[-1]) < wanted:
                return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


@contextmanager
def _opened(path: Path, start: bytes) -> Iterator["soundfile.SoundFile"]:
    filled = to_the_end(path, start)
    if filled is None:
        with soundfile.SoundFile(os.fsencode(path)) as file:  # names need not be UTF-8
            yield file
        return
    with filled, soundfile.SoundFile(filled) as file:
        yield file


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except FileNotFoundError:
        raise DamagedFile(f"{path}: no such file") from None
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise DamagedFile(f"{path}: is empty (0 bytes)")
    return start


def _refuse_cut(path: Path, start: bytes) -> None:
    """Refuse a file that is shorter than it says: libsndfile takes what is there in silence."""
    if start[:4] != b"OggS":
        require_whole(path, start)
        return
    state = path.stat()
    fault = ogg_fault(path, state.st_size, state.st_mtime_ns)
    if fault is not None:
        raise DamagedFile(f"{path}: {fault}")


def _resample(wave: Wave, up: int, down: int) -> Wave:
    resampled: Wave = resample_poly(wave, up, down, window=_low_pass(max(up, down)))
    return resampled.astype(np.float32, copy=False)


@lru_cache(maxsize=32)
def _low_pass(rate: int) -> NDArray[np.float32]:
    """The filter at `rate` times the lower of both sampling rates."""
    taps = firwin(2 * _ZERO_CROSSINGS * rate + 1, _PASSBAND / rate, window=("kaiser", _KAISER_BETA))
    return np.asarray(taps, dtype=np.float32)
