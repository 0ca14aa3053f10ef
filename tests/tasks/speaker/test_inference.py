"""The predictor: one recording or many, in halves, in low precision, and what it says of pairs."""

import json
import sys

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks import open_run
from tasks.speaker import audio, evaluate, predict
from tasks.speaker.config import ScoringConfig
from tasks.speaker.inference import Predictor
from tests.tasks.speaker.small import noise, tone, write_run, write_set


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was evaluated."""
    folder = tmp_path_factory.mktemp("inference")
    write_set(folder / "data")
    write_run(folder / "run", folder / "data", test=ScoringConfig(seconds=(0,), scoring="mean"))
    argv, sys.argv = sys.argv, ["evaluate", "--run", str(folder / "run"), "--loader.workers", "0"]
    try:
        evaluate.main()
    finally:
        sys.argv = argv
    return folder / "run"


@pytest.fixture(scope="module")
def predictor(run):
    return open_run(run, device="cpu")


@pytest.fixture(scope="module")
def files(run):
    return sorted((run.parent / "data" / "test" / "wav").rglob("*.wav"))[:3]


def test_a_run_opens_as_its_task(predictor):
    assert isinstance(predictor, Predictor)
    assert predictor.opened.model.classifier is None


def test_many_are_the_same_as_one_by_one(predictor, files):
    recordings = [*files, str(files[0]), noise(0.9), tone(300.0), noise(0.9, seed=1)]
    together = predictor.many(recordings)
    assert len(together) == 7
    for voice, recording in zip(together, recordings, strict=True):
        alone = predictor(recording).embedding
        assert alone.shape == (16,)
        assert alone.dtype == np.float32
        np.testing.assert_allclose(voice.embedding, alone, atol=1e-5)
    vectors = predictor.embed(recordings)
    np.testing.assert_array_equal(vectors, np.stack([voice.embedding for voice in together]))
    assert predictor.embed([]).shape == (0, 16)


def test_samples_are_heard_as_the_file_that_holds_them(predictor, files, tmp_path):
    np.testing.assert_array_equal(
        predictor(audio.read(files[0])).embedding, predictor(files[0]).embedding
    )
    audio.write(tmp_path / "short.wav", tone(seconds=0.1))
    short = audio.read(tmp_path / "short.wav")
    np.testing.assert_array_equal(
        predictor(short).embedding, predictor(tmp_path / "short.wav").embedding
    )


def test_both_halves_give_what_a_call_gives(predictor, files):
    for recording in (files[0], noise()):
        halves = predictor.answer(predictor.features(recording))
        np.testing.assert_array_equal(halves.embedding, predictor(recording).embedding)


def test_low_precision_gives_nearly_the_same(run, predictor, files):
    low = open_run(run, device="cpu", precision="bf16")
    for file in files:
        one, other = predictor(file).embedding, low(file).embedding
        assert one @ other > 0.99 * np.linalg.norm(one) * np.linalg.norm(other)
    assert low.compare(*files[:2]).score == pytest.approx(
        predictor.compare(*files[:2]).score, abs=0.05
    )


def test_a_description_is_what_predict_writes(run, predictor, files, tmp_path, monkeypatch):
    words = [*files[:2], "--run", run, "--out", tmp_path, "--loader.workers", 0]
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--engine.device", "cpu"])
    predict.main()
    (row,) = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    found = predictor.compare(*files[:2])
    named = {"first": str(files[0]), "second": str(files[1])}
    # The predictor has both in one batch, where a library may sum in another order than of one.
    score = pytest.approx(found.score, abs=1.5e-6)
    assert row == {**named, **predictor.describe(found), "score": score}
    assert found.verdict == row["verdict"]
    voice = predictor(files[0])
    assert predictor.describe(voice) == {"embedding": voice.embedding.tolist()}
    json.dumps(predictor.describe(voice))


def test_what_cannot_be_heard(predictor, tmp_path):
    with pytest.raises(DamagedFile, match=r"gone\.wav: no such file"):
        predictor(tmp_path / "gone.wav")
    with pytest.raises(ValueError, match=r"int16 of shape \(9000,\); needed: float32"):
        predictor(np.ones(9000, np.int16))
    with pytest.raises(ValueError, match=r"shape \(2, 9000\)"):
        predictor(np.ones((2, 9000), np.float32))
    for samples in (np.zeros(9000), np.full(9000, np.nan)):
        with pytest.raises(ValueError, match="silent, or holds samples"):
            predictor(samples.astype(np.float32))


def test_a_run_that_was_not_evaluated_embeds_and_does_not_compare(tmp_path):
    write_run(tmp_path / "run")
    predictor = Predictor.open(tmp_path / "run", device="cpu")
    assert predictor.embed([noise(), tone()]).shape == (2, 16)
    with pytest.raises(UserError, match=r"run tasks\.speaker\.evaluate first"):
        predictor.compare(noise(), tone())
