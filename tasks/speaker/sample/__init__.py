"""Writes the generated speaker data set in VoxCeleb's layout, with noises and rooms beside it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from common.sample import cached
from tasks.speaker import audio
from tasks.speaker.audio import Wave
from tasks.speaker.features import RATE
from tasks.speaker.sample.voice import Voice, draw_session, draw_voice, speak

VERSION = 2
"""Rises when the same seed gives other sounds, so that nobody trains on a stale cache."""

TRAIN_SPEAKERS, TEST_SPEAKERS = 160, 40
SESSIONS, UTTERANCES = 4, 2
"""Recording sessions of a speaker, and utterances of each."""
TRIALS = 2000

_FIRST_TRAIN, _FIRST_TEST = 20_001, 10_270
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))
_NOISES, _ROOMS = 12, 40
# Draws of speaker n, and those that are nobody's, must not meet.
_SPEAKER, _TRIALS, _NOISE, _ROOM = 1, 2, 3, 4


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_SPEAKERS, test: int = TEST_SPEAKERS
) -> None:
    """Write `train` and `test` speakers, a trial list of the latter, noises and rooms.

    The same seed gives the same bytes, and a speaker does not depend on how many there are.
    """
    for number in range(_FIRST_TRAIN, _FIRST_TRAIN + train):
        _write_speaker(folder / "dev" / "wav", number, seed, (2.5, 4.0))
    names = [
        _write_speaker(folder / "test" / "wav", number, seed, (3.5, 6.0))
        for number in range(_FIRST_TEST, _FIRST_TEST + test)
    ]
    lines = _trials(names, np.random.default_rng([_TRIALS, seed]))
    (folder / "veri_test.txt").write_text("\n".join(lines) + "\n")
    _write_noises(folder / "musan", seed)
    _write_rooms(folder / "rirs", seed)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("speaker", VERSION, write)


def voice_of(number: int, seed: int) -> tuple[Voice, np.random.Generator]:
    """A speaker, and the generator of what that speaker says."""
    generator = np.random.default_rng([_SPEAKER, seed, number])
    return draw_voice(generator), generator


def _write_speaker(folder: Path, number: int, seed: int, seconds: tuple[float, float]) -> list[str]:
    """Write a speaker's utterances; returns their paths below the folder."""
    voice, generator = voice_of(number, seed)
    names: list[str] = []
    for _ in range(SESSIONS):
        session = draw_session(generator)
        place = f"id{number}/{''.join(generator.choice(_LETTERS, 11))}"
        (folder / place).mkdir(parents=True)
        for index in range(1, UTTERANCES + 1):
            names.append(f"{place}/{index:05d}.wav")
            wave = speak(voice, session, generator.uniform(*seconds), generator)
            audio.write(folder / names[-1], wave)
    return names


def _trials(names: list[list[str]], generator: np.random.Generator) -> list[str]:
    """Lines of a trial list over the speakers' files, half of them target trials.

    The two recordings of a target trial are of different sessions.
    """
    if len(names) < 2:
        return []
    lines: dict[str, None] = {}
    # Half of the ordered pairs that target trials can be chosen from.
    pairs = len(names) * SESSIONS * (SESSIONS - 1) * UTTERANCES**2
    wanted = min(TRIALS, pairs)
    while len(lines) < wanted:
        target = len(lines) % 2 == 0
        first, second = generator.choice(len(names), 2, replace=False)
        left = names[first][int(generator.integers(len(names[first])))]
        others = names[first] if target else names[second]
        right = others[int(generator.integers(len(others)))]
        if left.rpartition("/")[0] != right.rpartition("/")[0]:
            lines[f"{int(target)} {left} {right}"] = None
    return list(lines)


def _write_noises(folder: Path, seed: int) -> None:
    """Write hums and hisses, chords, and babble of several voices, in MUSAN's layout."""
    for place, (kind, make) in enumerate(
        (("noise", _noise), ("music", _music), ("speech", _babble))
    ):
        (folder / kind).mkdir(parents=True)
        for number in range(_NOISES):
            generator = np.random.default_rng([_NOISE, seed, place, number])
            wave = make(generator)
            audio.write(
                folder / kind / f"{kind}-{number:04d}.wav", wave * (0.5 / np.abs(wave).max())
            )


def _noise(generator: np.random.Generator) -> Wave:
    """Five seconds of coloured noise that swells, with some hum."""
    time = np.arange(5 * RATE) / RATE
    noise = lfilter([1.0], [1.0, -generator.uniform(-0.5, 0.97)], generator.normal(size=len(time)))
    swell = 1 + 0.7 * np.sin(2 * np.pi * generator.uniform(0.2, 3) * time)
    hum = np.sin(2 * np.pi * generator.uniform(50, 400) * time) * generator.uniform(0, 1)
    return np.asarray(noise / noise.std() * swell + hum, dtype=np.float32)


def _music(generator: np.random.Generator) -> Wave:
    """Eight seconds of chords whose notes ring off."""
    wave = np.zeros(8 * RATE, dtype=np.float32)
    beat = int(generator.uniform(0.25, 0.6) * RATE)
    time = np.arange(2 * beat) / RATE
    for start in range(0, len(wave) - 2 * beat, beat):
        for semitone in generator.choice(37, 3, replace=False):
            pitch = 110 * 2 ** (semitone / 12)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**1.5 for k in range(1, 6))
            wave[start : start + 2 * beat] += tone * np.exp(-3 * time)
    return wave


def _babble(generator: np.random.Generator) -> Wave:
    """Six seconds of four voices at once; they are none of the speakers'."""
    waves = [
        speak(draw_voice(generator), draw_session(generator), 6.0, generator) for _ in range(4)
    ]
    return np.asarray(sum(wave / wave.std() for wave in waves), dtype=np.float32)


def _write_rooms(folder: Path, seed: int) -> None:
    """Write impulse responses: a direct sound, then noise that dies away."""
    folder.mkdir()
    for number in range(_ROOMS):
        generator = np.random.default_rng([_ROOM, seed, number])
        decay = generator.uniform(0.15, 0.7)
        time = np.arange(int(decay * RATE)) / RATE
        tail: NDArray[np.float64] = generator.normal(size=len(time)) * 10 ** (-3 * time / decay)
        tail[: int(generator.uniform(0.002, 0.01) * RATE)] = 0
        tail *= 10 ** (-generator.uniform(-2, 12) / 20) / np.sqrt(np.sum(tail**2))
        tail[0] = 1
        audio.write(folder / f"room-{number:04d}.wav", (tail / 1.5).astype(np.float32))
