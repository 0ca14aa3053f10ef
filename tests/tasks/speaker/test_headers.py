"""What headers say of a recording's length, true or not."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DamagedFile
from tasks.speaker import audio
from tests.tasks.speaker.recordings import refused, write, write_m4a
from tests.tasks.speaker.small import noise, tone


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
