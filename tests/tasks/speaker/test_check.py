"""The check of recordings: what is sound has no finding, and each planted fault has one."""

import shutil

import numpy as np
import pytest

from tasks.speaker import audio, check
from tests.tasks import checked
from tests.tasks.speaker import small


@pytest.fixture
def voices(tmp_path):
    return small.write_set(tmp_path / "set", train=2, test=2)


@pytest.fixture
def found(voices, monkeypatch, capsys):
    flags = ["--data.root", voices, "--out", voices.parent / "run", "--engine.batch_size", 2]
    flags += ["--data.seconds", 1]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


@pytest.fixture
def file(voices):
    """A training recording."""
    return voices / "dev" / "wav" / "id20000" / "video0" / "00000.wav"


def test_a_sound_set(found):
    assert found() == (0, [])


def test_silence_is_damage(found, file):
    audio.write(file, np.zeros(16000, np.float32))
    status, lines = found()
    assert status == 1 and len(lines) == 1 and "is silent" in lines[0]


def test_a_recording_that_is_mostly_silent(found, file):
    wave = np.concatenate([small.tone(seconds=1), np.zeros(16000 * 9, np.float32)])
    audio.write(file, wave)
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "1 of 8 recordings are mostly silent" in lines[0] and "90% of" in lines[0]


def test_a_clipped_recording(found, file):
    audio.write(file, np.clip(small.tone(seconds=2) * 20, -1, 1).astype(np.float32))
    status, lines = found()
    assert status == 0 and len(lines) == 1 and "recordings are clipped" in lines[0]


def test_a_short_recording(found, file):
    audio.write(file, small.tone(seconds=0.7))
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "note: dev/wav: 1 of 8 recordings are shorter than --data.seconds 1" in lines[0]


def test_a_recording_cut_short(found, file):
    file.write_bytes(file.read_bytes()[:4000])
    status, lines = found()
    assert status == 1 and "cut short" in lines[0]


def test_a_speaker_who_is_trained_on_and_scored_stops_training(found, voices):
    shutil.copytree(voices / "test" / "wav" / "id10000", voices / "dev" / "wav" / "id10000")
    status, lines = found()
    assert status == 1 and "id10000" in lines[0]
    assert any("veri_test.txt: 4 of 8 recordings are trained on as well" in line for line in lines)


def test_a_list_that_is_not_there(found):
    status, lines = found("--data.trials", "[none.txt]")
    assert status == 1 and "none.txt" in lines[0]
