"""Recordings of every kind, and every kind of broken one."""

import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DamagedFile, UserError
from tasks.speaker import audio
from tests.tasks.speaker.small import noise, tone


def write(path, samples, rate=16000, **changes):
    soundfile.write(path, samples, rate, **changes)
    return path


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


def refused(path, *words):
    with pytest.raises(DamagedFile) as caught:
        audio.read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


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


def test_raw_samples_and_names_that_are_not_utf_8(tmp_path):
    write(tmp_path / "a.wav", tone()).rename(tmp_path / "a.raw")
    refused(tmp_path / "a.raw", "do not say their rate")
    odd = write(tmp_path / "b.wav", tone()).rename(tmp_path / "caf\udce9.wav")
    assert len(audio.read(odd)) == 16000


def wav(path, whole, data, body=None, tail=b"", fmt=b""):
    """A wav of a tone of one second, with the sizes that its header is to say."""
    body = (tone() * 32767).astype("<i2").tobytes() if body is None else body
    fmt = fmt or struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    head = b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    path.write_bytes(head + b"data" + struct.pack("<I", data) + body + tail)
    return path


@pytest.mark.parametrize(
    ("whole", "data"),
    [
        (0x7FFFF024, 0x7FFFF000),  # SoX
        (0x7FFFFF24, 0x7FFFFF00), (0x80000024, 0x80000000),  # arecord
        (0xFFFFFFFF, 0xFFFFFFFF), (0x80000023, 0x7FFFFFFF),
        (0, 0), (36, 0), (32036, 0), (0, 32000),  # recorders that lost power
    ],
)  # fmt: skip
def test_a_wav_whose_writer_did_not_know_its_length(tmp_path, whole, data):
    """Writers that cannot seek leave the sizes open; then what is there counts, to the end."""
    path = wav(tmp_path / "a.wav", whole, data)
    np.testing.assert_allclose(audio.read(path), tone(), atol=1e-4)
    np.testing.assert_allclose(audio.read(path, 0.5, 0.25), tone()[8000:12000], atol=1e-4)


def test_sizes_of_the_sound_and_of_the_file(tmp_path):
    """The sound must be whole; what comes behind it, and an empty sound, are what they are."""
    info = b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert len(audio.read(wav(tmp_path / "a.wav", 32048, 32000, tail=info))) == 16000
    silence = wav(tmp_path / "g.wav", 0, 0, bytes(32000))
    with audio.opened(silence) as recording:
        assert recording.seconds == 1.0
    assert len(audio.read(wav(tmp_path / "b.wav", 32036 + 8, 32000))) == 16000, "counted wrongly"
    assert len(audio.read(wav(tmp_path / "f.wav", 32036, 32036))) == 16000, "counted wrongly"
    refused(wav(tmp_path / "c.wav", 64036, 64000), "cut short", "64,044")
    refused(wav(tmp_path / "d.wav", 0, 32000, bytes(9000)), "cut short")
    refused(wav(tmp_path / "e.wav", 48, 0, b"", info), "no sound")


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_an_rf64_whose_writer_did_not_know_its_length(tmp_path, size):
    path = write(tmp_path / "a.rf64", tone(), format="RF64")
    content = bytearray(path.read_bytes())
    content[20:36] = struct.pack("<QQ", size, size)
    path.write_bytes(content)
    assert np.abs(audio.read(path) - tone()).max() < 1e-3


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_gsm(tmp_path, kind):
    """Telephone recordings; the codec cannot seek, parts are read all the same."""
    path = write(tmp_path / "a.wav", tone(440, 2.0, 8000), 8000, format=kind, subtype="GSM610")
    whole = audio.read(path)
    assert len(whole) == 32000
    assert np.corrcoef(whole[2000:-2000], tone(440, 2.0)[2000:-2000])[0, 1] > 0.95
    with audio.opened(path) as recording:
        later, earlier = recording.read(1.0, 0.5), recording.read(0.5, 0.5)
    for part, first in ((later, 16000), (earlier, 8000)):
        assert np.abs(part - whole[first:][:8000])[200:-200].max() < 1e-3
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "cut short")


def sphere(path, coding, count=16000):
    """NIST SPHERE as the Linguistic Data Consortium gives it."""
    lines = (
        "NIST_1A\n   1024\nchannel_count -i 1\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
        "sample_byte_format -s2 01\nsample_sig_bits -i 16\n"
        f"sample_count -i {count}\nsample_coding -s{len(coding)} {coding}\nend_head\n"
    )
    sound = (tone() * 32767).astype("<i2").tobytes()
    path.write_bytes(lines.encode().ljust(1024) + sound)
    return path


@pytest.mark.parametrize("name", ["a.sph", "a.wav"])
def test_nist_sphere(tmp_path, name):
    np.testing.assert_allclose(audio.read(sphere(tmp_path / name, "pcm")), tone(), atol=1e-4)
    refused(sphere(tmp_path / name, "pcm", 20000), "cut short")
    for coding in ("pcm,embedded-shorten-v2.00", "pcm,embedded-wavpack"):
        refused(sphere(tmp_path / name, coding), coding, "sph2pipe")


@pytest.mark.parametrize("kind", ["AVR", "CAF", "IRCAM", "MAT5", "PAF", "PVF", "SDS", "VOC"])
def test_whatever_libsndfile_reads(tmp_path, kind):
    """Also formats whose files do not say whether they are whole."""
    path = write(tmp_path / "a.sound", tone(), format=kind, subtype="PCM_16")
    np.testing.assert_allclose(audio.read(path)[:16000], tone(), atol=1e-3)


def test_a_voc_of_blocks_is_whole_or_refused(tmp_path):
    path = write(tmp_path / "a.voc", tone(), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:20_000])
    refused(path, "cut short", "found 20,000")


def big(path, said, sound, tail=b""):
    """A wav of `sound` bytes, silence up to a last second of a tone; it takes no disk space."""
    wav(path, min(sound + 36 + len(tail), 0xFFFFFFFF), said, b"")
    with path.open("r+b") as file:
        file.seek(44 + sound - 32000)
        file.write((tone() * 32767).astype("<i2").tobytes() + tail)
    return path


INFO = b"LIST" + struct.pack("<I", 4) + b"INFO"


@pytest.mark.parametrize(
    ("said", "sound", "tail"),
    [
        (0x7FFFF000, 0x7FFFF000, b""), (0x7FFFF000, 0x7FFFF000, INFO),
        (0x80000000, 0x80000000, INFO), (0xFFFFF800, 0xFFFFF800, INFO),  # true
        (0x7FFFF000, 0x7FFFF000 + 64000, b""), (0, 0x80000000, b""),  # open, and more than it says
    ],
)  # fmt: skip
def test_two_gigabytes_of_sound(tmp_path, said, sound, tail):
    """A true size that looks like one left open is held to; beyond an open one sound goes on."""
    with audio.opened(big(tmp_path / "a.wav", said, sound, tail)) as recording:
        assert recording.seconds == sound / 32000
        end = recording.read(sound / 32000 - 1)
    np.testing.assert_allclose(end, tone(), atol=1e-4)


def test_sizes_that_big_files_cannot_have(tmp_path):
    path = big(tmp_path / "a.wav", 0x7FF00000, 0x7FF00000)
    with path.open("r+b") as file:
        file.truncate(10**9)
    refused(path, "cut short")
    refused(big(tmp_path / "b.wav", 0xFFFFFFFF, 2**32 + 2), "4 GiB", "flac")


@pytest.mark.parametrize("rate", [0, 7, 4_000_000])
def test_a_rate_that_no_recording_has(tmp_path, rate):
    fmt = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    with pytest.raises(DamagedFile, match=r"samples a second|libsndfile"):
        audio.read(wav(tmp_path / "a.wav", 32036, 32000, fmt=fmt))


def test_an_mp3_that_promises_more_than_any_memory_holds(tmp_path):
    path = write(tmp_path / "a.mp3", noise(2.0))
    content = bytearray(path.read_bytes())
    place = content.index(b"Xing" if b"Xing" in content else b"Info")
    content[place + 8 : place + 12] = b"\x7f\xff\xff\xff"  # its number of frames
    path.write_bytes(content)
    refused(path, "cut short")


MUTATED = {
    "a.wav": {}, "a.flac": {}, "a.mp3": {}, "a.ogg": {}, "a.aiff": {}, "a.w64": {}, "a.au": {},
    "a.rf64": {"format": "RF64"}, "a.sph": {"format": "NIST"},
    "gsm.wav": {"subtype": "GSM610"}, "adpcm.wav": {"subtype": "MS_ADPCM"}, "a.m4a": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    for name, options in MUTATED.items():
        if options is None:
            write_m4a(folder / name, tone())
        else:
            write(folder / name, tone(), **options)
    return {name: (folder / name).read_bytes() for name in MUTATED}


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(MUTATED)),
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 250), st.binary(min_size=1, max_size=4)),
        min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_a_damaged_header_is_read_or_refused_in_one_line(
    tmp_path_factory, sound_files, name, changes
):
    """Whatever its bytes say: sound that is finite, or a DamagedFile; never another error."""
    content = bytearray(sound_files[name])
    for at_end, place, new in changes:
        first = max(0, len(content) - 900 + place) if at_end else place
        content[first : first + len(new)] = new
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    try:
        assert np.isfinite(audio.read(path)).all()
    except DamagedFile as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


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


def write_m4a(path, samples, rate=16000, layout="mono", kind="ipod"):
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        planes = np.atleast_2d(samples)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


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


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_several_recordings_in_a_row(tmp_path, name):
    path = write(tmp_path / name, noise(2.0), **FORMATS[name])
    other = write(tmp_path / f"b{name}", noise(3.0), **FORMATS[name])
    path.write_bytes(path.read_bytes() + other.read_bytes())
    refused(path, "holds several recordings in a row", "write them as one")


def test_a_flac_that_does_not_say_how_long_it_is(tmp_path):
    path = tmp_path / "piped.flac"
    soundfile.write(path, tone(), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the lower 36 of these bits count the samples (RFC 9639, section 8.2)
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"piped\.flac: does not say how long it is"):
        audio.read(path)
