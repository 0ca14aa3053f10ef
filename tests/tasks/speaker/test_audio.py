"""Recordings of every kind, and every kind of broken one."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DamagedFile, UserError
from tasks.speaker import audio
from tests.tasks.speaker.recordings import refused, write
from tests.tasks.speaker.small import noise, tone


@pytest.mark.parametrize(
    ("name", "rate", "closeness"),
    [
        ("a.wav", 16000, 1e-4),
        ("a.wav", 8000, 1e-3),
        ("a.flac", 44100, 1e-3),
        ("a.flac", 48000, 1e-3),
        ("a.ogg", 22050, 0.03),
        ("a.mp3", 44100, 0.03),
    ],
)
def test_any_rate_and_channel_count_becomes_one_channel_at_16_khz(tmp_path, name, rate, closeness):
    left = tone(440, 1.5, rate)
    path = write(tmp_path / name, np.stack([left, 0.5 * left], axis=1), rate)
    wave = audio.read(path)
    expected = 0.75 * tone(440, 1.5)
    assert wave.dtype == np.float32
    assert len(wave) == len(expected)
    inner = slice(800, -1200)
    assert np.abs(wave[inner] - expected[inner]).max() < closeness


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_any_depth(tmp_path, subtype):
    path = write(tmp_path / "a.wav", tone(), subtype=subtype)
    assert np.abs(audio.read(path) - tone()).max() < 0.03


def test_eight_khz_holds_nothing_above_four(tmp_path):
    """What was not recorded is not made up, and nothing is mirrored into it."""
    path = write(tmp_path / "a.wav", noise(4.0)[: 8000 * 2], 8000)
    power = np.abs(np.fft.rfft(audio.read(path) * np.hanning(32000))) ** 2
    hertz = np.fft.rfftfreq(32000, 1 / 16000)
    assert power[hertz > 4200].mean() < 1e-7 * power[hertz < 3700].mean()


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_tones_and_drops_aliases(rate):
    for hertz in (100.0, 1000.0, 0.85 * min(rate, 16000) / 2):
        out = audio.resample(tone(hertz, 1.0, rate), rate, 16000)
        assert np.abs(out[800:-800] - tone(hertz)[800:-800]).max() < 2e-3, hertz
    if rate > 16000:
        beyond = audio.resample(tone(9000.0, 1.0, rate), rate, 16000)
        assert np.abs(beyond[800:-800]).max() < 2e-4


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([8000, 11025, 32000, 44100]), st.integers(1, 3000))
def test_resampled_length(rate, samples):
    out = audio.resample(np.zeros(samples, np.float32), rate, 16000)
    assert len(out) == -(-samples * 16000 // rate)


def test_speed_changes_length_and_pitch():
    for speed in (0.9, 1.1):
        out = audio.change_speed(tone(500.0, 2.0), speed)
        assert len(out) == pytest.approx(32000 / speed, abs=1)
        peak = np.argmax(np.abs(np.fft.rfft(out))) * 16000 / len(out)
        assert peak == pytest.approx(500 * speed, abs=1)
    assert audio.change_speed(tone(), 1.0) is not None
    np.testing.assert_array_equal(audio.change_speed(tone(), 1.0), tone())


@pytest.mark.parametrize(
    ("name", "rate"), [("a.wav", 16000), ("a.flac", 44100), ("a.ogg", 16000), ("a.mp3", 16000)]
)
def test_a_part_is_what_the_whole_has_there(tmp_path, name, rate):
    path = write(tmp_path / name, noise(3.0)[: rate * 3], rate)
    whole = audio.read(path)
    for start, seconds in ((0.0, 0.5), (0.25, 0.5), (0.7, 0.2)):
        part = audio.read(path, start, seconds)
        there = whole[round(start * 16000) :][: len(part)]
        assert len(part) == pytest.approx(seconds * 16000, abs=2)
        # Filters reach beyond the borders of the part.
        assert np.abs(part - there)[200:-200].max() < 1e-3


def test_only_the_part_is_decoded(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise(20.0))
    asked = []
    original = soundfile.SoundFile.read

    def spy(self, frames=-1, **changes):
        asked.append((self.tell(), frames))
        return original(self, frames, **changes)

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    audio.read(path, 5.0, 2.0)
    assert asked == [(80000, 32000)]


def test_beyond_the_end_is_what_is_left(tmp_path):
    path = write(tmp_path / "a.wav", tone(seconds=1.0))
    assert len(audio.read(path, 0.75, 2.0)) == 4000
    with audio.opened(path) as recording:
        assert recording.seconds == 1.0


def test_written_files_read_back(tmp_path):
    loud = tone() * 3  # clipped, not wrapped around
    audio.write(tmp_path / "a.wav", loud)
    assert np.abs(audio.read(tmp_path / "a.wav") - loud.clip(-1, 1)).max() < 1e-4


def test_files_that_are_not_there_or_empty(tmp_path):
    refused(tmp_path / "none.wav", "no such file")
    (tmp_path / "empty.wav").touch()
    refused(tmp_path / "empty.wav", "is empty (0 bytes)")
    write(tmp_path / "nothing.wav", np.zeros(0, np.float32))
    refused(tmp_path / "nothing.wav", "no sound")
    (tmp_path / "folder.wav").mkdir()
    refused(tmp_path / "folder.wav", "cannot be read")


FORMATS = {
    "a.wav": {}, "a.flac": {}, "a.ogg": {}, "a.opus": {"format": "OGG", "subtype": "OPUS"},
    "a.aiff": {}, "a.rf64": {"format": "RF64"}, "a.w64": {},
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short(tmp_path, name):
    path = write(tmp_path / name, noise(4.0), **FORMATS[name])
    assert len(audio.read(path)) == 64000
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "cut short")


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_an_ogg_file_that_is_damaged_or_lacks_a_page(tmp_path, name):
    """Decoders leave such parts out without a word."""
    path = write(tmp_path / name, noise(9.0), **FORMATS[name])
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(40) + whole[middle + 40 :])
    refused(path, "is damaged at byte")
    pages = [place for place in range(len(whole)) if whole[place : place + 4] == b"OggS"]
    path.write_bytes(whole[: pages[3]] + whole[pages[4] :])
    refused(path, "lacks a part of its sound")
    path.write_bytes(whole[: pages[-1]])
    refused(path, "cut short or damaged")
    path.write_bytes(whole + b"a tag behind the sound")
    assert len(audio.read(path)) == 144000


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_several_recordings_in_a_row(tmp_path, name):
    path = write(tmp_path / name, noise(2.0), **FORMATS[name])
    other = write(tmp_path / f"b{name}", noise(3.0), **FORMATS[name])
    path.write_bytes(path.read_bytes() + other.read_bytes())
    refused(path, "holds several recordings in a row", "write them as one")


def test_raw_samples_and_names_that_are_not_utf_8(tmp_path):
    write(tmp_path / "a.wav", tone()).rename(tmp_path / "a.raw")
    refused(tmp_path / "a.raw", "do not say their rate")
    odd = write(tmp_path / "b.wav", tone()).rename(tmp_path / "caf\udce9.wav")
    assert len(audio.read(odd)) == 16000


def test_a_wrong_extension(tmp_path):
    (tmp_path / "notes.wav").write_text("these are words and no sound at all")
    refused(tmp_path / "notes.wav", "is no wav that libsndfile can read", "b'thes'")
    flac = write(tmp_path / "a.flac", tone())
    flac.rename(tmp_path / "really_flac.wav")
    assert len(audio.read(tmp_path / "really_flac.wav")) == 16000, "content decides"


def test_samples_that_are_no_numbers(tmp_path):
    samples = tone()
    samples[100] = np.nan
    refused(write(tmp_path / "a.wav", samples, subtype="FLOAT"), "NaN")
    samples[100] = np.inf
    refused(write(tmp_path / "b.wav", samples, subtype="FLOAT"), "infinite")


def test_listing(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.wav", "a.FLAC", "deep/er/c.ogg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "._b.wav").touch()  # macOS leaves one beside each file
    (tmp_path / "folder.wav").mkdir()
    found = audio.list_recordings([tmp_path, tmp_path / "b.wav"])
    assert [path.name for path in found] == ["a.FLAC", "b.wav", "c.ogg"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no recordings in this folder"):
        audio.list_recordings([tmp_path / "none"])
    with pytest.raises(UserError, match="no such file or folder"):
        audio.list_recordings([tmp_path / "gone"])


def test_a_flac_that_does_not_say_how_long_it_is(tmp_path):
    path = tmp_path / "piped.flac"
    soundfile.write(path, tone(), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the lower 36 of these bits count the samples (RFC 9639, section 8.2)
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"piped\.flac: does not say how long it is"):
        audio.read(path)
