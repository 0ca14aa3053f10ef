"""Filter banks against Kaldi's definition, written here in NumPy, and against its numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.speaker.features import SHIFT, WINDOW, Fbank, frames_of, mel_filters, samples_of

SETTINGS = {"wespeaker": ("hamming", 32768.0), "3dspeaker": ("povey", 1.0)}


def signal(samples=4000):
    """A sweep and something like noise, with an offset; float32."""
    number = np.arange(float(samples))
    time = number / 16000
    sweep = 0.3 * np.sin(2 * np.pi * (200 * time + 9000 * time**2))
    rough = 0.2 * np.sin(0.5 * number**2) * np.sin(number / 300)
    return (rough + sweep + 0.01).astype(np.float32)


def kaldi_fbank(wave, window, scale, bins=80):
    """Energies (T, bins) of a wave (N,), frame by frame and filter by filter, in float64."""
    wave = wave.astype(np.float64) * scale
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    edges = np.linspace(mel(20), mel(8000), bins + 2)
    n = np.arange(400)
    shape = 0.54 - 0.46 * np.cos(2 * np.pi * n / 399)
    if window == "povey":
        shape = (0.5 - 0.5 * np.cos(2 * np.pi * n / 399)) ** 0.85
    rows = []
    for start in range(0, len(wave) - 399, 160):
        frame = wave[start : start + 400]
        frame = frame - frame.mean()
        emphasised = frame.copy()
        for k in range(400):
            emphasised[k] = frame[k] - 0.97 * frame[max(k - 1, 0)]
        power = np.abs(np.fft.fft(emphasised * shape, 512)) ** 2
        row = []
        for left, centre, right in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
            energy = 0.0
            for k in range(256):  # not the Nyquist frequency
                place = mel(k * 16000 / 512)
                if left < place <= centre:
                    energy += power[k] * (place - left) / (centre - left)
                elif centre < place < right:
                    energy += power[k] * (right - place) / (right - centre)
            row.append(np.log(max(energy, np.finfo(np.float32).eps)))
        rows.append(row)
    return np.array(rows)


def fbank(wave, window, scale, **changes):
    module = Fbank(window=window, scale=scale, remove_mean=False, **changes)
    return module(torch.from_numpy(wave)[None])[0].T.numpy()


@pytest.mark.parametrize("toolkit", SETTINGS)
@pytest.mark.parametrize("bins", [80, 40])
def test_the_definition(toolkit, bins):
    window, scale = SETTINGS[toolkit]
    wave = signal(1200)
    expected = kaldi_fbank(wave, window, scale, bins)
    np.testing.assert_allclose(fbank(wave, window, scale, bins=bins), expected, atol=1e-3)
    assert expected.shape == (6, bins)


# torchaudio 2.11, compliance.kaldi.fbank(num_mel_bins=80, dither=0, use_energy=False) of signal().
GOLDEN = {
    "wespeaker": [
        [14.8754, 21.2106, 20.1435, 21.5282, 24.7025],
        [14.3840, 17.9436, 20.7643, 22.2913, 25.5236],
        [10.6118, 14.2295, 18.2108, 20.5163, 22.5305],
    ],
    "3dspeaker": [
        [-5.6502, 0.3482, -0.6808, 0.7786, 3.9206],
        [-6.7018, -2.6292, -0.0564, 1.4948, 4.7490],
        [-9.0573, -6.2429, -2.6006, -0.2287, 1.6890],
    ],
}


@pytest.mark.parametrize("toolkit", SETTINGS)
def test_the_numbers_of_torchaudio(toolkit):
    energies = fbank(signal(), *SETTINGS[toolkit])
    assert energies.shape == (23, 80)
    chosen = energies[[0, 7, 22]][:, [0, 10, 30, 50, 79]]
    np.testing.assert_allclose(chosen, GOLDEN[toolkit], atol=1e-3)


@pytest.mark.parametrize("toolkit", SETTINGS)
def test_kaldi_native_fbank(toolkit):
    knf = pytest.importorskip("kaldi_native_fbank")
    window, scale = SETTINGS[toolkit]
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = window
    options.mel_opts.num_bins = 80
    options.use_energy = False
    extractor = knf.OnlineFbank(options)
    wave = signal(16000)
    extractor.accept_waveform(16000, (wave * scale).tolist())
    extractor.input_finished()
    frames = [extractor.get_frame(i) for i in range(extractor.num_frames_ready)]
    # Both are within 1e-3 of the definition in double precision, at times on opposite sides of it.
    np.testing.assert_allclose(fbank(wave, window, scale), np.stack(frames), atol=2e-3)
    np.testing.assert_allclose(
        fbank(wave, window, scale), kaldi_fbank(wave, window, scale, 80), atol=1e-3
    )


def test_16_bit_integers_are_the_same_samples():
    integers = np.round(signal() * 32767).astype(np.int16)
    for window, scale in SETTINGS.values():
        floats = fbank((integers / 32768).astype(np.float32), window, scale)
        np.testing.assert_allclose(fbank(integers, window, scale), floats, atol=1e-4)


def test_a_batch_is_its_utterances_one_by_one():
    waves = torch.from_numpy(np.stack([signal(), signal()[::-1].copy()]))
    module = Fbank()
    assert torch.allclose(module(waves), torch.cat([module(waves[:1]), module(waves[1:])]))


def test_the_mean_of_every_bin_is_removed_and_nothing_else():
    wave = torch.from_numpy(signal())[None]
    plain, centred = Fbank(remove_mean=False)(wave), Fbank()(wave)
    assert centred.mean(-1).abs().max() < 1e-4
    difference = plain - centred
    assert torch.allclose(difference, difference[..., :1].expand_as(difference), atol=1e-4)


def test_a_filter_in_front_of_the_microphone_goes_with_the_mean():
    """A gain adds a constant to logarithms."""
    wave = torch.from_numpy(signal())[None]
    assert torch.allclose(Fbank()(wave), Fbank()(wave / 7), atol=1e-3)


def test_bfloat16_does_not_reach_the_features():
    wave = torch.from_numpy(signal())[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = Fbank()(wave)
    assert found.dtype == torch.float32
    assert torch.equal(found, Fbank()(wave))


def test_silence_is_the_floor():
    floor = np.log(np.finfo(np.float32).eps)
    np.testing.assert_allclose(fbank(np.zeros(4000, np.float32), "hamming", 32768), floor)


def test_less_than_a_window_is_refused():
    with pytest.raises(ValueError, match="399 samples"):
        Fbank()(torch.zeros(1, 399))


@settings(max_examples=30, deadline=None)
@given(st.integers(WINDOW, 4000))
def test_only_whole_windows_count(samples):
    frames = frames_of(samples)
    assert Fbank(bins=8)(torch.zeros(1, samples)).shape == (1, 8, frames)
    assert (frames - 1) * SHIFT + WINDOW <= samples < frames * SHIFT + WINDOW
    assert samples_of(frames) <= samples
    assert frames_of(samples_of(frames)) == frames
    assert frames_of(WINDOW - 1) == 0


def test_filters_overlap_to_one_between_the_first_and_the_last_centre():
    weights = mel_filters(80).numpy()
    covered = weights.sum(1)
    inside = slice(int(np.flatnonzero(weights[:, 0])[-1]) + 1, int(np.argmax(weights[:, -1])))
    np.testing.assert_allclose(covered[inside], 1, atol=1e-5)
    assert not weights[-1].any()


def test_constants_are_no_weights():
    assert not Fbank().state_dict()
