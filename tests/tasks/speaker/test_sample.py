from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import UserError
from tasks.speaker import audio, sample
from tasks.speaker.config import DataConfig
from tasks.speaker.noise import find_disturbances
from tasks.speaker.sample.__main__ import SampleConfig
from tasks.speaker.sample.voice import HOP, VOWELS, draw_session, draw_voice, speak
from tasks.speaker.speakers import find_files, read_speakers
from tasks.speaker.trials import read_trials, speaker_of


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=4, test=3)
    return folder


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == [
        "dev", "musan", "rirs", "test", "veri_test.txt",
    ]  # fmt: skip
    speakers = sorted(path.name for path in (root / "dev" / "wav").iterdir())
    assert speakers == ["id20001", "id20002", "id20003", "id20004"]
    sessions = list((root / "dev/wav/id20001").iterdir())
    assert len(sessions) == sample.SESSIONS
    assert all(len(session.name) == 11 for session in sessions)
    names = sorted(path.name for path in sessions[0].iterdir())
    assert names == ["00001.wav", "00002.wav"]
    info = soundfile.info(sessions[0] / "00001.wav")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert 2.5 <= info.duration <= 4.1


def test_the_loader_reads_it(root):
    config = DataConfig()
    speakers = read_speakers(root, config.train, config.audio)
    assert len(speakers) == 4 * sample.SESSIONS * sample.UTTERANCES
    trials = read_trials(root / "veri_test.txt")
    files = find_files(trials.recordings, root, config.audio, trials.file)
    assert all(audio.read(file).std() > 1e-3 for file in files)
    assert not set(speakers.names) & set(map(speaker_of, trials.recordings))
    disturbances = find_disturbances(root, DataConfig(noise=Path("musan"), rooms=Path("rirs")))
    assert [kind for kind, _ in disturbances.noises] == ["noise", "speech", "music"]
    assert len(disturbances.rooms) == 40


def test_trials_cross_sessions_and_half_are_targets(root):
    trials = read_trials(root / "veri_test.txt")
    assert trials.target.mean() == 0.5
    for enrol, test, target in zip(trials.enrol, trials.test, trials.target, strict=True):
        left, right = Path(trials.recordings[enrol]), Path(trials.recordings[test])
        assert (left.parts[0] == right.parts[0]) == target
        assert left.parent != right.parent
    pairs = list(zip(trials.enrol.tolist(), trials.test.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)


def test_the_same_seed_gives_the_same_bytes_and_numbers_do_not_matter(root, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "_NOISES", 3)
    monkeypatch.setattr(sample, "_ROOMS", 10)
    sample.write(tmp_path, seed=3, train=2, test=1)
    for name in ("dev/wav/id20002", "test/wav/id10270", "musan/speech", "rirs"):
        files = [path for path in (tmp_path / name).rglob("*.wav")]
        assert files
        for file in files:
            assert file.read_bytes() == (root / file.relative_to(tmp_path)).read_bytes()
    sample.write(tmp_path / "other", seed=4, train=1, test=0)
    first = sorted((root / "dev/wav/id20001").rglob("*.wav"))[0].read_bytes()
    other = sorted((tmp_path / "other/dev/wav/id20001").rglob("*.wav"))[0].read_bytes()
    assert first != other


def power_spectrum(wave):
    pieces = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::256] * np.hanning(1024)
    return np.mean(np.abs(np.fft.rfft(pieces)) ** 2, axis=0)


def test_the_pitch_is_the_voices_times_the_sessions():
    generator = np.random.default_rng(0)
    for _ in range(5):
        voice, session = draw_voice(generator), draw_session(generator)
        wave = speak(voice, session, 4.0, generator)
        pitch = voice.pitch * session.pitch
        # The mean distance of peaks in the autocorrelation of loud frames.
        frames = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::512]
        loud = frames[frames.std(axis=1) > np.median(frames.std(axis=1))]
        loud = loud - loud.mean(axis=1, keepdims=True)
        spectrum = np.abs(np.fft.rfft(loud, 4096)) ** 2
        correlation = np.fft.irfft(spectrum)[:, :1024].mean(axis=0)
        low, high = int(16000 / pitch / 1.35), int(16000 / pitch * 1.35)
        peak = low + int(np.argmax(correlation[low:high]))
        assert 16000 / peak == pytest.approx(pitch, rel=0.25)


def test_a_longer_tract_has_lower_resonances():
    centres, sizes = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        voice = draw_voice(generator)
        sizes.append(voice.formants[:, 2:].mean())
        session = draw_session(generator)
        spectra = [power_spectrum(speak(voice, session, 3.0, generator))]
        hertz = np.fft.rfftfreq(1024, 1 / 16000)
        band = (hertz > 300) & (hertz < 6000)
        mass = np.log(np.mean(spectra, axis=0)[band] + 1e-12)
        weights = np.exp(mass / 4)
        centres.append((hertz[band] * weights).sum() / weights.sum())
    assert np.corrcoef(centres, sizes)[0, 1] > 0.25


def test_voices_differ_and_stay_human():
    voices = [draw_voice(np.random.default_rng(seed)) for seed in range(200)]
    pitches = np.array([voice.pitch for voice in voices])
    assert 75 <= pitches.min() < 100
    assert 230 < pitches.max() <= 330
    formants = np.stack([voice.formants for voice in voices])
    assert formants.shape == (200, len(VOWELS), 5)
    assert (np.diff(formants.mean(axis=1), axis=1) > 0).all(), "resonances keep their order"
    assert formants[:, 7, 0].min() > 150
    assert formants[..., 4].max() < 8000


def test_a_sentence_has_the_length_asked_for_and_is_never_clipped():
    generator = np.random.default_rng(0)
    voice, session = draw_voice(generator), draw_session(generator)
    for seconds in (1.0, 2.37):
        wave = speak(voice, session, seconds, generator)
        assert abs(len(wave) - seconds * 16000) <= HOP
        assert 0.04 < np.abs(wave).max() <= 0.51
        assert wave.dtype == np.float32


def test_too_few_speakers_are_refused():
    with pytest.raises(UserError, match="at least 2"):
        SampleConfig(out=(), train=1)
