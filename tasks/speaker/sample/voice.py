"""Voices made by a source-filter model: pulses and noise through the resonances of a vocal tract.

A speaker keeps the size and shape of the tract, the voice's habits and the pace; what is said, the
mood (pitch and effort), the room's noise, the microphone and the level change with the recording.
So neither pitch nor the average spectrum tells speakers apart; the places of the resonances do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tasks.speaker.features import RATE

Floats = NDArray[np.float32]

HOP, WINDOW, FFT = 128, 384, 640
"""Samples from one state of the tract to the next, of a piece that passes it, and of its FFT."""

# First three resonances of a man's vowels in hertz (Peterson and Barney, JASA 1952, table II).
VOWELS = np.array(
    [
        [270, 2290, 3010], [390, 1990, 2550], [530, 1840, 2480], [660, 1720, 2410],
        [730, 1090, 2440], [570, 840, 2410], [440, 1020, 2240], [300, 870, 2240],
        [640, 1190, 2390], [490, 1350, 1690],
    ],
    dtype=np.float32,
)  # fmt: skip

# Centre and width in hertz of the noise of consonants such as s, sh, f, h, t, k.
CONSONANTS = np.array(
    [[6200, 1500], [3300, 1200], [4800, 4000], [1500, 1800], [4200, 2200], [2100, 1300]],
    dtype=np.float32,
)

_BANDWIDTHS = np.array([70, 90, 130, 180, 220])
# Scaled so that pieces a third of its length apart add up to the whole.
_HANN = ((1 - np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)) / 3).astype(np.float32)
_HERTZ = (np.arange(FFT // 2 + 1) * RATE / FFT).astype(np.float32)


@dataclass(frozen=True)
class Voice:
    """What stays with a speaker."""

    pitch: float
    """Usual pitch in hertz."""
    intonation: float
    """Standard deviation of the pitch within a sentence, in octaves."""
    formants: Floats
    """(10, 5) resonances of the speaker's vowels in hertz."""
    bandwidths: Floats
    """(5,) in hertz."""
    tilt: float
    """Fall of the source's spectrum in decibels an octave."""
    breath: float
    """Noise beside the pulses, as a share of them."""
    jitter: float
    """Standard deviation of a period's length, as a share."""
    consonants: Floats
    """(6, 2) centre and width of the speaker's consonants in hertz."""
    pace: float
    """Syllables a second."""


@dataclass(frozen=True)
class Session:
    """What stays the same within a recording session: the mood, the room and the microphone."""

    pitch: float
    """Factor on the usual pitch."""
    effort: float
    """Decibels an octave on the source's spectrum."""
    pace: float
    """Factor on the usual pace."""
    microphone: Floats
    """(FFT / 2 + 1,) gain."""
    noise: Floats
    """(FFT / 2 + 1,) spectrum of the room's noise."""
    snr_db: float


def draw_voice(generator: np.random.Generator) -> Voice:
    """A new speaker."""
    # Large bodies have long tracts and low voices, but not strictly.
    size = generator.uniform(0, 1)
    tract = 1.22 - 0.36 * size + generator.normal(0, 0.03)
    pitch = 225 * 2 ** (-1.25 * size + generator.normal(0, 0.22))
    # The front and the back of the mouth have proportions of their own, as has each vowel. The
    # bounds keep the resonances in order.
    shape = generator.uniform(-1, 1, 5) * [0.18, 0.18, 0.16, 0.12, 0.12]
    habits = generator.normal(0, 1, (len(VOWELS), 5)) * [0.08, 0.1, 0.1, 0.03, 0.03]
    high = np.broadcast_to([3500.0, 4500.0], (len(VOWELS), 2))
    formants = np.concatenate((VOWELS, high), axis=1) * tract * np.exp(shape + habits)
    consonants = CONSONANTS * np.exp(generator.normal(0, 0.25, CONSONANTS.shape)) * tract**0.5
    return Voice(
        pitch=float(np.clip(pitch, 75, 330)),
        intonation=generator.uniform(0.08, 0.25),
        formants=formants.astype(np.float32),
        bandwidths=(_BANDWIDTHS * np.exp(generator.normal(0, 0.25, 5))).astype(np.float32),
        tilt=generator.uniform(-7, -2),
        breath=10 ** generator.uniform(-2.2, -0.7),
        jitter=generator.uniform(0.004, 0.02),
        consonants=consonants.astype(np.float32),
        pace=generator.uniform(4.5, 7.0),
    )


def draw_session(generator: np.random.Generator) -> Session:
    """New circumstances."""
    octaves = np.log2(np.maximum(_HERTZ, 60) / 1000)
    decibels = generator.normal(0, 2.5) * octaves
    for _ in range(4):
        place, width = generator.uniform(-2.5, 3), generator.uniform(0.2, 0.8)
        decibels += generator.normal(0, 6) * np.exp(-0.5 * ((octaves - place) / width) ** 2)
    high_pass = 1 / np.sqrt(1 + (generator.uniform(40, 200) / np.maximum(_HERTZ, 1)) ** 4)
    colour = 10 ** (generator.uniform(-12, -4) * np.maximum(octaves, -3) / 20)
    return Session(
        pitch=float(2 ** generator.normal(0, 0.2)),
        effort=generator.normal(0, 1.5),
        pace=float(np.exp(generator.normal(0, 0.12))),
        microphone=(10 ** (decibels / 20) * high_pass).astype(np.float32),
        noise=colour.astype(np.float32),
        snr_db=generator.uniform(22, 45),
    )


def speak(
    voice: Voice, session: Session, seconds: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """A sentence of random syllables: samples (N,) at 16 kHz, full scale -1..1."""
    frames = round(seconds * RATE / HOP)
    formants, voiced, hiss, consonant = _articulation(voice, session, frames, generator)
    pulses = _pulses(voice, session, voiced, generator)
    noise, room = generator.standard_normal((2, len(pulses)), dtype=np.float32)
    source = pulses + voice.breath * noise * np.repeat(voiced, HOP)
    hissing = _hiss(voice, consonant) * hiss[:, None]
    spectra = _spectra(source) * _tract(formants, voice, session) + _spectra(noise) * hissing
    speech = _joined((spectra * session.microphone).astype(np.complex64, copy=False))
    # The room does not change, so one filter does for all of it.
    hertz = fft.rfftfreq(len(room), 1 / RATE)
    room = fft.irfft(fft.rfft(room) * np.interp(hertz, _HERTZ, session.noise), len(room))
    gain = np.sqrt(np.mean(speech**2) / np.mean(room**2)) * 10 ** (-session.snr_db / 20)
    wave = speech + gain * room
    level = 10 ** (generator.uniform(-26, -6) / 20)
    scaled: Floats = (wave * (level / np.abs(wave).max())).astype(np.float32)
    return scaled


def _articulation(
    voice: Voice, session: Session, frames: int, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """States of mouth and glottis in each frame.

    Returns resonances (T, 5) in hertz, the strengths (T,) of the voice and of a consonant's noise,
    and which consonant it is (T,).
    """
    per_second = RATE / HOP
    length = per_second / (voice.pace * session.pace)
    count = int(frames / length * 1.6) + 3
    lengths = length * generator.uniform(0.6, 1.5, count)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    vowels = voice.formants[generator.integers(len(VOWELS), size=count)]
    # A vowel's target is missed a little each time, as in running speech.
    vowels = vowels * np.exp(generator.normal(0, 0.025, vowels.shape))
    centres = starts + 0.6 * lengths
    time = np.arange(frames, dtype=np.float64)
    formants = np.stack([np.interp(time, centres, vowels[:, k]) for k in range(5)], axis=1)
    syllable = np.searchsorted(ends, time).clip(0, count - 1)
    place = (time - starts[syllable]) / lengths[syllable]
    closed = generator.uniform(0.12, 0.32, count)[syllable]
    loud = 10 ** (generator.normal(0, 3, count)[syllable] / 20)
    silent = (generator.random(count) < 0.1)[syllable]
    vowel = np.clip((place - closed) / 0.12, 0, 1) * np.clip((1.02 - place) / 0.15, 0, 1)
    noise = np.clip(place / 0.06, 0, 1) * np.clip((closed - place) / 0.05 + 0.5, 0, 1)
    # Some consonants are hummed or tapped: no noise.
    noisy = (generator.random(count) < 0.7)[syllable]
    kind = generator.integers(len(CONSONANTS), size=count)[syllable]
    return (
        formants.astype(np.float32),
        (vowel * loud * ~silent).astype(np.float32),
        (noise * loud * noisy * ~silent * 0.05).astype(np.float32),
        kind,
    )


def _pulses(
    voice: Voice, session: Session, voiced: Floats, generator: np.random.Generator
) -> Floats:
    """One pulse a period (N,), of constant power whatever the pitch."""
    frames = len(voiced)
    knots = max(4, frames // 25)
    melody = np.cumsum(generator.normal(0, 1, knots)) * 0.5
    melody = voice.intonation * (melody - melody.mean()) - np.linspace(0, 0.15, knots)
    octaves = np.interp(np.arange(frames), np.linspace(0, frames, knots), melody)
    pitch = np.repeat(voice.pitch * session.pitch * 2**octaves, HOP)
    phase = np.cumsum(pitch / RATE)
    wanted = np.arange(1.0, phase[-1])
    wanted = np.sort(wanted + generator.normal(0, voice.jitter, len(wanted)))
    moments = np.interp(wanted, phase, np.arange(len(phase), dtype=np.float64))
    left = moments.astype(np.int64).clip(0, len(phase) - 2)
    part = moments - left
    strength = np.repeat(voiced, HOP)[left] / np.sqrt(pitch[left] / RATE)
    strength *= 1 + generator.normal(0, 0.04, len(left))
    # A pulse between two samples is shared out between them.
    pulses = np.bincount(left, strength * (1 - part), len(phase))
    pulses += np.bincount(left + 1, strength * part, len(phase))
    return pulses.astype(np.float32)


def _tract(formants: Floats, voice: Voice, session: Session) -> Floats:
    """Gain (T, FFT / 2 + 1) of the tract with these resonances (T, 5), and of the glottis."""
    power = np.ones((len(formants), len(_HERTZ)), dtype=np.float32)
    square = _HERTZ**2
    for k in range(formants.shape[1]):
        centre = (formants[:, k] ** 2)[:, None]
        # |F^2 / (F^2 - f^2 + i B f)|^2: a resonance of second order.
        bandwidth = np.float32(voice.bandwidths[k] ** 2) / centre**2
        power *= (1 - square / centre) ** 2 + bandwidth * square
    octaves = np.log2(np.maximum(_HERTZ, 100) / 500)
    # The five resonances beyond 5 kHz, which are not drawn, would hold this much up.
    decibels = (voice.tilt + session.effort) * octaves + 9 * np.maximum(octaves - 2.5, 0)
    gain: Floats = (10 ** (decibels / 20)).astype(np.float32) / np.sqrt(power)
    return gain


def _hiss(voice: Voice, kind: NDArray[np.int64]) -> Floats:
    """Gain (T, FFT / 2 + 1) of each frame's consonant."""
    shapes = np.exp(-0.5 * ((_HERTZ - voice.consonants[:, :1]) / voice.consonants[:, 1:]) ** 2)
    hiss: Floats = shapes.astype(np.float32)[kind]
    return hiss


def _spectra(source: Floats) -> NDArray[np.complex64]:
    """Spectra (T, FFT / 2 + 1) of the windowed pieces of samples (N,), a HOP apart."""
    frames = len(source) // HOP
    padded = np.pad(source, (WINDOW // 2, WINDOW))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    spectra: NDArray[np.complex64] = fft.rfft(pieces * _HANN, FFT)
    return spectra


def _joined(spectra: NDArray[np.complex64]) -> Floats:
    """Samples (N,) whose pieces have these spectra, after gains without phase."""
    frames = len(spectra)
    # Such gains reach as far back as forward: what went round the end belongs before the start.
    pieces = np.roll(fft.irfft(spectra, FFT), (FFT - WINDOW) // 2, axis=1)
    out = np.zeros((frames + FFT // HOP) * HOP, dtype=np.float32)
    for part in range(FFT // HOP):
        here = slice(part * HOP, (part + frames) * HOP)
        out[here] += pieces[:, part * HOP : (part + 1) * HOP].ravel()
    return out[FFT // 2 : FFT // 2 + frames * HOP]
