"""Recordings in the containers that PyAV reads."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.speaker import audio
from tests.tasks.speaker.recordings import refused, write_m4a
from tests.tasks.speaker.small import noise, tone


@pytest.mark.parametrize(("rate", "layout"), [(16000, "mono"), (44100, "stereo")])
def test_m4a(tmp_path, rate, layout):
    plane = tone(440, 3.0, rate)
    planes = plane if layout == "mono" else np.stack([plane, 0.5 * plane])
    path = write_m4a(tmp_path / "a.m4a", planes, rate, layout)
    wave = audio.read(path)
    assert len(wave) / 16000 == pytest.approx(3.0, abs=0.1), "AAC pads"
    expected = tone(440, 3.0) * (1 if layout == "mono" else 0.75)
    # Encoders delay; the tone fits at one of the shifts within a frame or two.
    misfits = [np.abs(wave[4000 + k : 20000 + k] - expected[4000:20000]).max() for k in range(2300)]
    assert min(misfits) < 0.03
    for start in (0.0, 0.4, 1.7):
        part = audio.read(path, start, 1.0)
        there = wave[round(start * 16000) :][: len(part)]
        assert np.abs(part - there)[200:-200].max() < 1e-3


def test_m4a_that_is_broken(tmp_path):
    path = write_m4a(tmp_path / "a.m4a", noise(2.0))
    path.write_bytes(path.read_bytes()[:3000])
    refused(path, "cut short")


def test_m4a_under_another_name(tmp_path):
    path = write_m4a(tmp_path / "a.m4a", tone())
    path.rename(tmp_path / "a.wav")
    assert len(audio.read(tmp_path / "a.wav")) >= 16000


def test_m4a_without_pyav_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "tasks.speaker.mpeg4", raising=False)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A ....")
    with pytest.raises(UserError, match=r"PyAV.*\.\[audio\]"):
        audio.read(tmp_path / "a.m4a")


def test_m4a_of_unknown_length(tmp_path):
    pytest.importorskip("av")
    from tasks.speaker.mpeg4 import _Mpeg4

    stream = SimpleNamespace(rate=16000, duration=None, time_base=None)
    container = SimpleNamespace(streams=SimpleNamespace(audio=[stream]))
    with pytest.raises(DamagedFile, match="how long"):
        _Mpeg4(tmp_path / "a.m4a", container)


def test_bare_aac_does_not_say_how_long_it_is(tmp_path):
    path = write_m4a(tmp_path / "a.aac", tone(seconds=9.0), kind="adts")
    refused(path, "does not say how long it is; convert it to m4a, wav or flac")


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le"])
def test_plain_samples_in_a_film(tmp_path, codec):
    av = pytest.importorskip("av")
    kind, scale, shift = ("u8", 127, 128) if codec == "pcm_u8" else ("s16", 32767, 0)
    samples = np.round(scale * tone() + shift).astype(np.uint8 if shift else np.int16)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    (tmp_path / "a.mov").rename(tmp_path / "a.m4a")
    np.testing.assert_allclose(audio.read(tmp_path / "a.m4a"), tone(), atol=0.01)
