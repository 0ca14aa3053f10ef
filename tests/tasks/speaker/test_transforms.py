import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from tasks.speaker import audio
from tasks.speaker.config import DataConfig
from tasks.speaker.noise import Disturbances, find_disturbances
from tasks.speaker.transforms import (
    NO_MASK,
    SNR_DB,
    add_noise,
    dither,
    fit,
    is_silent,
    mask_positions,
    reverberate,
)
from tests.tasks.speaker.small import noise, tone


def power(wave):
    return float(np.mean(wave.astype(np.float64) ** 2))


@given(st.integers(1, 50), st.integers(1, 200))
def test_short_waves_are_repeated(length, wanted):
    wave = np.arange(length, dtype=np.float32)
    np.testing.assert_array_equal(fit(wave, wanted), [k % length for k in range(wanted)])


def test_silence():
    assert is_silent(np.zeros(10, np.float32))
    assert is_silent(np.full(10, 0.25, np.float32)), "an offset is no sound"
    assert is_silent(np.zeros(0, np.float32))
    assert not is_silent(tone())


@pytest.mark.parametrize("snr_db", [0.0, 7.5, 30.0])
def test_noise_has_the_wanted_strength(snr_db):
    mixed = add_noise(tone(), 3 * noise(), snr_db)
    added = mixed - tone()
    assert 10 * np.log10(power(tone()) / power(added)) == pytest.approx(snr_db, abs=0.01)
    assert np.corrcoef(added, noise())[0, 1] > 0.999
    np.testing.assert_array_equal(add_noise(tone(), np.zeros_like(tone()), 5), tone())


def test_a_room_is_a_convolution_with_its_response():
    impulse = np.zeros(500, np.float32)
    impulse[[0, 200]] = 0.6, 0.8  # of energy 1
    out = reverberate(tone(), 5 * impulse)
    expected = np.convolve(tone(), impulse)[:16000]
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_array_equal(reverberate(tone(), np.zeros(9, np.float32)), tone())


def test_dither_is_counted_in_steps_of_16_bits():
    out = dither(np.zeros(20000, np.float32), 1.0, np.random.default_rng(0))
    assert out.std() * 32768 == pytest.approx(1, rel=0.05)
    assert dither(tone(), 0, None) is not None


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 30), st.integers(0, 40))
def test_masks_stay_inside(seed, time, frequency):
    config = DataConfig(time_mask=time, frequency_mask=frequency, mask_probability=1)
    frame, frames, row, rows = mask_positions(
        3200, 24, config, np.random.default_rng(seed)
    ).tolist()
    assert 0 <= frame <= frame + frames <= 18
    assert 0 <= row <= row + rows <= 24
    assert frames <= time
    assert rows <= frequency


def test_masks_are_drawn_with_their_probability():
    generator = np.random.default_rng(0)
    config = DataConfig(time_mask=10, frequency_mask=8, mask_probability=0.6)
    drawn = [mask_positions(32000, 80, config, generator) for _ in range(500)]
    hidden = np.mean([mask.any() for mask in drawn])
    assert 0.53 < hidden < 0.67
    assert max(mask[1] for mask in drawn) == 10
    assert max(mask[3] for mask in drawn) == 8
    assert mask_positions(32000, 80, DataConfig(), generator) is NO_MASK


@pytest.fixture
def folders(tmp_path):
    """One noise of each kind, told apart by its pitch, and a room."""
    for kind, hertz in (("noise", 1000), ("speech", 2000), ("music", 3000)):
        (tmp_path / "musan" / kind / "deep").mkdir(parents=True)
        audio.write(tmp_path / "musan" / kind / "deep" / "a.wav", tone(hertz, 1.0))
    (tmp_path / "rirs").mkdir()
    impulse = np.zeros(1600, np.float32)
    impulse[800] = 0.5
    audio.write(tmp_path / "rirs" / "room.wav", impulse)
    return tmp_path


def test_noise_and_rooms_come_half_each_with_their_ranges(folders):
    config = DataConfig(noise="musan", rooms="rirs", augment_probability=0.6)
    disturbances = find_disturbances(folders, config)
    voice = tone(200, 1.5)
    hertz = np.fft.rfftfreq(len(voice), 1 / 16000)
    kinds = {kind: [] for kind in ("none", "room", *SNR_DB)}
    for seed in range(400):
        out = disturbances.apply(voice, np.random.default_rng(seed))
        assert out.shape == voice.shape
        assert out.dtype == np.float32
        added = out - voice
        if not added.any():
            kinds["none"].append(0)
            continue
        peak = hertz[np.argmax(np.abs(np.fft.rfft(added)) * (hertz > 700))]
        snr = 10 * np.log10(power(voice) / power(added))
        name = {1000: "noise", 2000: "speech", 3000: "music"}.get(round(peak, -2), "room")
        kinds[name].append(snr)
    shares = {kind: len(found) / 400 for kind, found in kinds.items()}
    assert shares["none"] == pytest.approx(0.4, abs=0.08)
    assert shares["room"] == pytest.approx(0.3, abs=0.07)
    for kind, (low, high) in SNR_DB.items():
        assert shares[kind] == pytest.approx(0.1, abs=0.05)
        assert low - 0.1 <= min(kinds[kind]) < max(kinds[kind]) <= high + 0.1


def test_without_folders_nothing_is_drawn():
    generator = np.random.default_rng(0)
    assert Disturbances().apply(tone(), generator).tolist() == tone().tolist()
    assert generator.random() == np.random.default_rng(0).random()


def test_one_folder_alone(folders):
    config = DataConfig(rooms="rirs", augment_probability=1)
    out = find_disturbances(folders, config).apply(tone(), np.random.default_rng(0))
    np.testing.assert_allclose(out[800:], tone()[:-800], atol=1e-3)
    config = DataConfig(noise="musan", augment_probability=1)
    assert not find_disturbances(folders, config).rooms


def test_folders_that_are_not_there(folders):
    for config, words in (
        (DataConfig(noise="gone"), "--data.noise gone"),
        (DataConfig(rooms="gone"), "--data.rooms gone"),
        (DataConfig(noise="rirs"), "noise, speech, music"),
    ):
        with pytest.raises(UserError, match=words):
            find_disturbances(folders, config)
    (folders / "empty").mkdir()
    with pytest.raises(UserError, match="no recordings"):
        find_disturbances(folders, DataConfig(rooms="empty"))
