"""Crops of waveforms and their augmentations: functions of arrays and a generator.

Waveforms are (N,) float32 at 16 kHz, full scale -1..1.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from tasks.speaker.config import DataConfig
from tasks.speaker.features import frames_of

Wave = NDArray[np.float32]

SNR_DB = {"noise": (0.0, 15.0), "speech": (10.0, 30.0), "music": (5.0, 15.0)}
"""Signal-to-noise ratios in decibels of MUSAN's parts, drawn uniformly (WeSpeaker)."""

NO_MASK: NDArray[np.int64] = np.zeros(4, dtype=np.int64)
"""First frame, frames, first bin and bins of a mask that hides nothing."""

_LEAST_POWER = 1e-10


def fit(wave: Wave, length: int) -> Wave:
    """The first `length` samples; a shorter wave is repeated until it is long enough."""
    if len(wave) >= length:
        return wave[:length]
    return np.tile(wave, math.ceil(length / len(wave)))[:length]


def is_silent(wave: Wave) -> bool:
    """Whether there is no sound at all: every sample is the same."""
    return len(wave) == 0 or bool(wave.max() == wave.min())


def add_noise(wave: Wave, noise: Wave, snr_db: float) -> Wave:
    """The wave with noise (N,) at a signal-to-noise ratio in decibels over the whole crop.

    A noise that is silent changes nothing.
    """
    power, noise_power = (float(np.mean(np.square(each, dtype=float))) for each in (wave, noise))
    if noise_power < _LEAST_POWER:
        return wave
    gain = math.sqrt(power / noise_power * 10 ** (-snr_db / 10))
    return wave + np.float32(gain) * noise


def reverberate(wave: Wave, impulse: Wave) -> Wave:
    """The wave (N,) as a room with this impulse response (M,) gives it back; a silent one is none.

    Nothing is shifted: the response's own delay stays, and the tail beyond the wave is cut.
    """
    norm = math.sqrt(float(np.sum(np.square(impulse, dtype=np.float64))))
    if norm < _LEAST_POWER:
        return wave
    reverberant: Wave = oaconvolve(wave, impulse / np.float32(norm))[: len(wave)]
    return reverberant.astype(np.float32, copy=False)


def dither(wave: Wave, steps: float, generator: np.random.Generator) -> Wave:
    """The wave with white noise, its standard deviation given in steps of 16-bit samples."""
    if not steps:
        return wave
    noise = generator.standard_normal(len(wave), dtype=np.float32)
    return wave + np.float32(steps / 32768) * noise


def mask_positions(
    samples: int, bins: int, config: DataConfig, generator: np.random.Generator
) -> NDArray[np.int64]:
    """SpecAugment for one crop: first frame, frames, first bin and bins to hide; int64 (4,).

    Park et al., Interspeech 2019, section 2: one mask on either axis, its length uniform from 0 to
    the most. The model hides them, because the features are its own; the draw belongs to the
    sample.
    """
    if not (config.time_mask or config.frequency_mask):
        return NO_MASK
    if generator.random() >= config.mask_probability:
        return NO_MASK
    frames = frames_of(samples)
    time = int(generator.integers(min(config.time_mask, frames) + 1))
    frequency = int(generator.integers(min(config.frequency_mask, bins) + 1))
    first_frame = int(generator.integers(frames - time + 1))
    first_bin = int(generator.integers(bins - frequency + 1))
    return np.array([first_frame, time, first_bin, frequency])
