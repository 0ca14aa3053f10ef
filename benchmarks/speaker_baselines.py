"""``python -m benchmarks.speaker_baselines [ROOT TRAIN TRIALS]``: what simple cues reach on trials.

The median pitch alone; mean and deviation of 20 cepstral coefficients, standardised, by cosine; and
the same after within-class covariance normalisation (WCCN) on the training speakers. Without words,
on the generated sample set. No network has a meaning that does not beat these.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dct

from tasks.speaker import audio, sample
from tasks.speaker.config import DataConfig
from tasks.speaker.features import RATE, Fbank
from tasks.speaker.metrics import normalised, verification_scores
from tasks.speaker.speakers import find_files, read_speakers
from tasks.speaker.trials import read_trials

LOWEST_HZ, HIGHEST_HZ = 70, 400


def log_pitch(wave: np.ndarray) -> float:
    """Median logarithm of the pitch over loud, periodic frames, by autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 640)[::320]
    frames = frames - frames.mean(1, keepdims=True)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :640]
    energy = correlation[:, 0]
    shortest, longest = RATE // HIGHEST_HZ, RATE // LOWEST_HZ
    lags = correlation[:, shortest:longest].argmax(1) + shortest
    periodic = correlation[np.arange(len(lags)), lags] / np.maximum(energy, 1e-9)
    chosen = (energy > np.quantile(energy, 0.4)) & (periodic > 0.5)
    if not chosen.any():
        chosen = periodic >= periodic.max()
    return float(np.median(np.log(RATE / lags[chosen])))


def cepstra(wave: np.ndarray, fbank: Fbank) -> np.ndarray:
    """Mean and deviation (40,) of cepstral coefficients 1 to 20."""
    energies = fbank(torch.from_numpy(wave)[None])[0].numpy()
    coefficients = dct(energies, axis=0, norm="ortho")[1:21]
    return np.concatenate((coefficients.mean(1), coefficients.std(1)))


def whitening(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The map (40, 40) that makes the covariance within speakers the identity."""
    means = np.stack([rows[labels == speaker].mean(0) for speaker in range(labels.max() + 1)])
    within = np.cov((rows - means[labels]).T, bias=True)
    return np.linalg.cholesky(np.linalg.inv(within + 1e-3 * np.eye(len(within))))


def main() -> None:
    data = DataConfig()
    words = sys.argv[1:] or [str(sample.sample_set()), str(data.train), str(data.trials[0])]
    root, train, file = Path(words[0]), Path(words[1]), Path(words[0]) / words[2]
    speakers, trials = read_speakers(root, train, data.audio), read_trials(file)
    fbank = Fbank(bins=40, remove_mean=False)
    known = np.stack([cepstra(audio.read(Path(path)), fbank) for path in speakers.files])
    waves = [audio.read(path) for path in find_files(trials.recordings, root, data.audio, file)]
    tried = np.stack([cepstra(wave, fbank) for wave in waves])
    mean, deviation = known.mean(0), known.std(0)
    known, tried = (known - mean) / deviation, (tried - mean) / deviation
    pitch = np.array([log_pitch(wave) for wave in waves])
    scores = {"pitch": -np.abs(pitch[trials.enrol] - pitch[trials.test])}
    for name, rows in (
        ("cepstra, cosine", tried),
        ("cepstra, WCCN", tried @ whitening(known, speakers.labels)),
    ):
        unit = normalised(rows)
        scores[name] = (unit[trials.enrol] * unit[trials.test]).sum(1)
    print(trials.summary())
    for name, found in scores.items():
        numbers = verification_scores(found, trials.target)
        print(f"{name:16}" + "".join(f"  {key} {value:.4f}" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
