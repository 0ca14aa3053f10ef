"""Training samples and recordings to embed, sound and broken."""

import numpy as np
import pytest
import soundfile

from common.errors import DamagedFile
from common.training.sampling import Counted, generator_for
from tasks.speaker import audio, check
from tasks.speaker.config import Config, DataConfig
from tasks.speaker.data import ScoringSet, TrainSet, load, training_set
from tasks.speaker.inference import wave_of
from tasks.speaker.noise import Disturbances
from tasks.speaker.speakers import read_speakers
from tests.tasks.speaker.small import noise, tone, write_set


def train_set(root, **changes):
    config = DataConfig(root=root, **{"seconds": 1.0, **changes})
    return TrainSet(read_speakers(root, config.train, config.audio), config, 24, Disturbances())


def one_recording(root, samples, rate=16000, **options):
    """A data set whose first speaker has one recording with these samples."""
    (root / "dev/wav/a/v").mkdir(parents=True)
    (root / "dev/wav/b/v").mkdir(parents=True)
    soundfile.write(root / "dev/wav/a/v/1.wav", samples, rate, **options)
    audio.write(root / "dev/wav/b/v/1.wav", tone())
    return root


def draw(dataset, index=0, seed=0):
    return dataset.sample(index, np.random.default_rng(seed))


def test_a_sample(tmp_path):
    dataset = train_set(write_set(tmp_path))
    assert len(dataset) == 12
    sample = draw(dataset, 5)
    assert sample["wave"].shape == (16000,)
    assert sample["wave"].dtype == np.float32
    assert sample["label"] == 1
    assert sample["index"] == 5
    assert sample["masks"].tolist() == [0, 0, 0, 0]


def test_a_crop_is_a_part_of_the_recording(tmp_path):
    samples = (np.arange(48000) % 30000 / 32768).astype(np.float32)
    dataset = train_set(one_recording(tmp_path, samples))
    whole = audio.read(tmp_path / "dev/wav/a/v/1.wav")
    starts = []
    for seed in range(40):
        crop = draw(dataset, seed=seed)["wave"]
        start = next(
            k for k in np.flatnonzero(whole == crop[0]) if (whole[k : k + 16000] == crop).all()
        )
        starts.append(int(start))
    assert min(starts) < 6000
    assert max(starts) > 26000


def test_everything_is_drawn_from_the_generator(tmp_path):
    write_set(tmp_path)
    dataset = train_set(
        tmp_path, speeds=(1.0, 0.9, 1.1), dither=1.0, time_mask=10, frequency_mask=5
    )
    first, again = draw(dataset, 3, 7), draw(dataset, 3, 7)
    other = draw(dataset, 3, 8)
    for key in ("wave", "masks", "label"):
        np.testing.assert_array_equal(first[key], again[key])
    assert (first["wave"] != other["wave"]).any()


def test_speeds_are_new_speakers(tmp_path):
    root = one_recording(tmp_path, tone(500.0, 3.0))
    dataset = train_set(root, speeds=(1.0, 0.9, 1.1))
    assert dataset.classes == 6
    seen = {}
    for seed in range(30):
        sample = draw(dataset, seed=seed)
        assert sample["wave"].shape == (16000,)
        spectrum = np.abs(np.fft.rfft(sample["wave"] * np.hanning(16000)))
        seen.setdefault(sample["label"], int(np.argmax(spectrum)))
    assert {label: round(hertz / 500, 1) for label, hertz in seen.items()} == {
        0: 1.0, 2: 0.9, 4: 1.1,
    }  # fmt: skip


@pytest.mark.parametrize("samples", [5, 300, 9000])
def test_a_clip_shorter_than_the_crop_or_a_window_is_repeated(tmp_path, samples):
    clip = tone()[1:][:samples]
    dataset = train_set(one_recording(tmp_path, clip))
    crop = draw(dataset)["wave"]
    stored = audio.read(tmp_path / "dev/wav/a/v/1.wav")
    np.testing.assert_array_equal(crop, np.resize(stored, 16000))
    whole = load(tmp_path / "dev/wav/a/v/1.wav", "mean")
    np.testing.assert_array_equal(whole, np.resize(stored, max(samples, 8000)))
    assert len(load(tmp_path / "dev/wav/a/v/1.wav", "mean", 2.0)) == 32000


def test_eight_khz_and_stereo_train_like_any(tmp_path):
    left = tone(300.0, 2.0, 8000)
    dataset = train_set(one_recording(tmp_path, np.stack([left, left], 1), 8000))
    crop = draw(dataset)["wave"]
    assert crop.shape == (16000,)
    assert np.argmax(np.abs(np.fft.rfft(crop))) == 300


@pytest.mark.parametrize("channel", ["mean", "first"])
def test_of_several_channels_the_mean_or_the_first_is_heard_everywhere(tmp_path, channel):
    root = one_recording(tmp_path, np.stack([tone(300.0), tone(500.0)], 1))
    file = root / "dev/wav/a/v/1.wav"
    stored = soundfile.read(file, dtype="float32")[0]
    expected = stored[:, 0] if channel == "first" else stored.mean(1)
    data = DataConfig(root=root, seconds=1.0, channel=channel)
    for wave in (
        draw(train_set(root, channel=channel))["wave"],
        ScoringSet([file], data)[0]["wave"],
        wave_of(file, channel),
    ):
        np.testing.assert_allclose(wave, expected, atol=1e-6)
    impulse = np.eye(1, 16000, dtype=np.float32)[0]
    room = Disturbances(probability=1.0, rooms=(file,), channel=channel)
    heard = room.apply(impulse, np.random.default_rng(0))
    np.testing.assert_allclose(heard, expected / np.linalg.norm(expected), atol=1e-5)


def test_the_check_hears_the_channel_that_training_hears(tmp_path):
    root = one_recording(tmp_path, np.stack([np.zeros(16000, np.float32), tone()], 1))
    mean, first = (
        check.trained_on(Config(data=DataConfig(root=root, channel=channel)), "stop")
        for channel in ("mean", "first")
    )
    assert mean.look(0).measures == {"seconds": 1.0}
    with pytest.raises(DamagedFile, match=r"1\.wav: is silent"):
        first.look(0)
    assert len(np.unique(first.draw(0))) == 3 < len(np.unique(mean.draw(0)))


def test_silence_is_refused_and_a_silent_part_is_left_behind(tmp_path):
    dataset = train_set(one_recording(tmp_path / "a", np.zeros(48000, np.float32)))
    with pytest.raises(DamagedFile, match=r"1\.wav: is silent"):
        draw(dataset)
    with pytest.raises(DamagedFile, match="is silent"):
        load(tmp_path / "a/dev/wav/a/v/1.wav", "mean")
    late = np.concatenate((np.zeros(80000, np.float32), noise(0.5)))
    dataset = train_set(one_recording(tmp_path / "b", late))
    for seed in range(5):
        assert np.abs(draw(dataset, seed=seed)["wave"]).max() > 0.1
    with pytest.raises(DamagedFile, match="silent in its first 2 s"):
        load(tmp_path / "b/dev/wav/a/v/1.wav", "mean", 2.0)
    assert len(load(tmp_path / "b/dev/wav/a/v/1.wav", "mean")) == 88000


def test_a_damaged_recording_stops_or_is_skipped(tmp_path):
    samples = tone(seconds=2.0)
    samples[::100] = np.nan
    dataset = train_set(one_recording(tmp_path, samples, subtype="FLOAT"))
    stopped = Counted(dataset, 0, "stop")[(0, 0)]
    assert isinstance(stopped, DamagedFile)
    assert "NaN" in str(stopped)
    skipped = Counted(dataset, 0, "skip")[(0, 0)]
    assert skipped["label"] == 1
    assert "1.wav" in skipped["skipped"]


def test_recordings_to_embed(tmp_path, capsys):
    root = one_recording(tmp_path, tone(seconds=3.0))
    files = [root / "dev/wav/a/v/1.wav", root / "gone.wav", root / "dev/wav/b/v/1.wav"]
    dataset = ScoringSet(files, DataConfig(), 2.0)
    assert dataset[0]["wave"].shape == dataset[2]["wave"].shape == (32000,)
    np.testing.assert_array_equal(dataset[0]["wave"], audio.read(files[0], 0, 2.0))
    assert ScoringSet(files, DataConfig())[0]["wave"].shape == (48000,)
    with pytest.raises(DamagedFile, match=r"gone\.wav: no such file"):
        dataset[1]
    assert ScoringSet(files, DataConfig(on_error="skip"))[1] is None
    assert "gone.wav" in capsys.readouterr().err


def test_the_whole_training_set_of_a_config(tmp_path):
    write_set(tmp_path)
    config = Config(data=DataConfig(root=tmp_path, seconds=1.0, frequency_mask=80))
    speakers = read_speakers(tmp_path, config.data.train, config.data.audio)
    sample = training_set(speakers, tmp_path, config).sample(0, generator_for(0, 0, 0))
    assert set(sample) == {"wave", "masks", "label", "index"}
