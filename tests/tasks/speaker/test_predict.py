"""Comparing, embedding and searching people's own recordings: what is written and refused."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch

from common.errors import DamagedFile, UserError
from common.training import checkpoint
from tasks.speaker import audio, evaluate, parts, predict
from tasks.speaker.config import ScoringConfig
from tests.tasks.speaker.small import tone, write_run, write_set, write_speaker


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was evaluated, with AS-norm."""
    folder = tmp_path_factory.mktemp("predict")
    write_set(folder / "data")
    test = ScoringConfig(seconds=(0,), scoring="as-norm", top=2)
    write_run(folder / "run", folder / "data", test=test)
    argv, sys.argv = sys.argv, ["evaluate", "--run", str(folder / "run"), "--loader.workers", "0"]
    try:
        evaluate.main()
    finally:
        sys.argv = argv
    return folder / "run"


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two recordings of ann in other formats, and two of bob."""
    folder = tmp_path_factory.mktemp("voices")
    ann = write_speaker(folder, "ann", utterances=1)
    write_speaker(folder, "bob", utterances=1)
    wave = audio.read(folder / ann[0])
    soundfile.write(folder / "ann.mp3", wave, 16000)
    soundfile.write(folder / "ann.ogg", np.stack([wave, wave], 1), 16000)
    return folder


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--loader.workers", "0"])
    predict.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_recordings_are_compared(run, voices, tmp_path, monkeypatch, capsys):
    pair = voices / "ann.mp3", voices / "ann.ogg"
    run_command(monkeypatch, *pair, "--run", run, "--out", tmp_path)
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "compare.json").read_text())
    (row,) = content["pairs"]
    assert [row["first"], row["second"]] == [str(path) for path in pair]
    assert row["verdict"] in ("same speaker", "different speakers")
    assert (row["verdict"] == "same speaker") == (row["score"] >= content["threshold"])
    assert row["likelihood_ratio"] > 0
    decision = json.loads((run / "decision.json").read_text())
    assert content["threshold"] == decision["threshold"]
    assert f"rejected {100 * decision['misses']:.2f} %" in printed
    assert "66 trials of veri_test.txt" in printed
    assert row["verdict"] in printed


def test_scores_are_those_of_the_evaluation(run, tmp_path, monkeypatch):
    lines = (run / "scores" / "veri_test_full.txt").read_text().splitlines()
    first, second, score, _ = lines[7].split()
    wav = run.parent / "data" / "test" / "wav"
    run_command(monkeypatch, wav / first, wav / second, "--run", run, "--out", tmp_path)
    (row,) = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    assert row["score"] == pytest.approx(float(score), abs=1e-4)


def test_more_than_two_make_every_pair_best_first(run, voices, tmp_path, monkeypatch):
    run_command(monkeypatch, voices / "ann", voices / "bob", "--run", run, "--out", tmp_path)
    rows = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    assert len(rows) == 6
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_a_folder_is_embedded(run, voices, tmp_path, monkeypatch, capsys):
    run_command(monkeypatch, voices, "--mode", "embed", "--run", run, "--out", tmp_path)
    with np.load(tmp_path / "embeddings.npz") as content:
        assert content["embeddings"].shape == (6, 16)
        assert content["embeddings"].dtype == np.float32
        assert sorted(content["names"].tolist()) == sorted(
            str(path) for path in voices.rglob("*.*") if path.is_file()
        )
    assert "embeddings (6, 16)" in capsys.readouterr().out


def test_what_was_embedded_is_kept_and_resume_goes_on(run, voices, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "SIZE", 2)
    whole = tmp_path / "whole"
    words = ("--mode", "embed", "--run", run, "--out")
    run_command(monkeypatch, voices, *words, whole)
    assert len(list((whole / "embeddings_parts").glob("*.npz"))) == 3
    out, recordings = tmp_path / "out", tmp_path / "voices"
    shutil.copytree(voices, recordings)
    last = sorted(path for path in recordings.rglob("*.*") if path.is_file())[-1]
    sound = last.read_bytes()
    last.write_bytes(sound[:2000])
    with pytest.raises(DamagedFile, match=r"is cut short.*--resume --data\.on_error skip"):
        run_command(monkeypatch, recordings, *words, out)
    assert "go on with --resume" in refusal(monkeypatch, recordings, *words, out)
    assert not (out / "embeddings.npz").exists()
    first = out / "embeddings_parts" / "000000.npz"
    before = first.stat().st_mtime_ns
    run_command(monkeypatch, recordings, *words, out, "--resume", "--data.on_error", "skip")
    assert "embeddings (5, 16)" in capsys.readouterr().out
    run_command(monkeypatch, recordings, *words, out, "--resume", "--data.on_error", "skip")
    last.write_bytes(sound)
    run_command(monkeypatch, recordings, *words, out, "--resume")
    assert first.stat().st_mtime_ns == before
    with np.load(out / "embeddings.npz") as found, np.load(whole / "embeddings.npz") as expected:
        np.testing.assert_array_equal(found["embeddings"], expected["embeddings"])
        names = [name.replace(str(recordings), str(voices)) for name in found["names"].tolist()]
        assert names == expected["names"].tolist()


def test_resume_goes_on_with_what_it_began_with_only(run, voices, tmp_path, monkeypatch):
    words = (voices / "ann.mp3", "--run", run, "--out", tmp_path)
    run_command(monkeypatch, *words, "--mode", "embed")
    again = (*words, "--mode", "embed", "--resume")
    assert "are of another model or of other settings" in refusal(
        monkeypatch, *again, "--checkpoint", "last"
    )
    assert "--resume: belongs to --mode embed" in refusal(
        monkeypatch, *words, voices / "ann.ogg", "--resume"
    )
    (tmp_path / "embeddings_parts" / "000000.npz").write_bytes(b"PK")
    assert "000000.npz: is not a part that predict wrote" in refusal(monkeypatch, *again)
    run_command(monkeypatch, *words, "--mode", "embed")
    with np.load(tmp_path / "embeddings.npz") as content:
        assert content["names"].tolist() == [str(voices / "ann.mp3")]


def test_a_folder_is_searched_for_a_voice(run, voices, tmp_path, monkeypatch):
    words = (voices / "ann.mp3", voices, "--mode", "search", "--run", run, "--out", tmp_path)
    run_command(monkeypatch, *words)
    rows = json.loads((tmp_path / "search.json").read_text())["pairs"]
    assert {row["first"] for row in rows} == {str(voices / "ann.mp3")}
    assert len(rows) == 5, "not itself"
    # The same sound in another format is the nearest.
    assert rows[0]["second"].startswith(str(voices / "ann"))
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)


def test_a_threshold_of_ones_own_has_no_known_error_rates(
    run, voices, tmp_path, monkeypatch, capsys
):
    words = (voices / "ann.mp3", voices / "ann.ogg", "--run", run, "--out", tmp_path)
    for threshold, verdict in ((-99, "same speaker"), (99, "different speakers")):
        run_command(monkeypatch, *words, "--threshold", threshold)
        printed = capsys.readouterr().out
        assert verdict in printed
        assert "its error rates are not known" in printed


def test_a_threshold_of_another_checkpoint_is_not_used(run, voices, tmp_path, monkeypatch):
    words = (voices / "ann.mp3", voices / "ann.ogg", "--run", run, "--out", tmp_path)
    assert "is of another checkpoint" in refusal(monkeypatch, *words, "--checkpoint", "last")


def test_a_checkpoint_without_a_run_gives_scores_without_verdicts(
    run, voices, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "model.pt"
    file.write_bytes((run / "best.pt").read_bytes())
    words = (voices / "ann.mp3", voices / "ann.ogg", "--config", run / "config.yaml")
    words += ("--checkpoint", file, "--out", tmp_path)
    run_command(monkeypatch, *words, "--test.scoring", "cosine")
    assert "no verdict without --threshold or that of a run" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    assert set(row) == {"first", "second", "score"}
    assert row["score"] > 0.9
    assert "needs --run" in refusal(monkeypatch, *words)


def test_a_run_that_was_not_evaluated(voices, tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    words = (voices / "ann.mp3", voices / "ann.ogg", "--run", tmp_path / "run")
    assert "run tasks.speaker.evaluate first" in refusal(monkeypatch, *words)
    run_command(monkeypatch, *words, "--mode", "embed")
    assert (tmp_path / "run" / "predictions" / "embeddings.npz").is_file()
    (tmp_path / "run" / "decision.json").write_text("{}")
    assert "is not a decision" in refusal(monkeypatch, *words)


def test_freshly_generated_pairs(run, tmp_path, monkeypatch, capsys):
    run_command(monkeypatch, "--run", run, "--sample", 2, "--out", tmp_path)
    rows = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    assert len(rows) == 2
    assert ["one_speaker" in row["first"] for row in rows] == [True, False]
    assert "pair02_two_speakers_b.wav" in capsys.readouterr().out


def test_what_is_missing_is_told_in_one_line(run, voices, tmp_path, monkeypatch):
    words = ("--run", run, "--out", tmp_path / "out")
    ann = voices / "ann.mp3"
    assert "needs at least two recordings" in refusal(monkeypatch, ann, *words)
    search = ("--mode", "search", *words)
    assert "begins with the recording of one voice" in refusal(monkeypatch, voices, *search)
    assert "name the recordings or folders" in refusal(monkeypatch, ann, *search)
    assert not (tmp_path / "out").exists()


def test_damaged_recordings_stop_or_are_skipped(run, voices, tmp_path, monkeypatch, capsys):
    silent = tmp_path / "silent.wav"
    audio.write(silent, np.zeros(16000, np.float32))
    words = (voices / "ann.mp3", silent, voices / "ann.ogg", "--run", run, "--out", tmp_path)
    for mode in ("compare", "search"):
        way = r"silent\.wav: is silent.*; to go on without it, add --data\.on_error skip$"
        with pytest.raises(DamagedFile, match=way):
            run_command(monkeypatch, *words, "--mode", mode)
    run_command(monkeypatch, *words, "--data.on_error", "skip")
    assert len(json.loads((tmp_path / "compare.json").read_text())["pairs"]) == 1
    skip = ("--run", run, "--out", tmp_path, "--data.on_error", "skip")
    assert "nothing to compare" in refusal(monkeypatch, voices / "ann.mp3", silent, *skip)
    assert "the voice to search for cannot be read" in refusal(
        monkeypatch, silent, voices, "--mode", "search", *skip
    )
    capsys.readouterr()


def test_a_clip_of_ten_milliseconds_is_repeated(run, voices, tmp_path, monkeypatch):
    audio.write(tmp_path / "short.wav", tone(seconds=0.01))
    words = (tmp_path / "short.wav", voices / "ann.mp3", "--run", run, "--out", tmp_path)
    run_command(monkeypatch, *words)
    (row,) = json.loads((tmp_path / "compare.json").read_text())["pairs"]
    assert np.isfinite(row["score"])


def test_a_broken_model_says_so(run, voices, tmp_path, monkeypatch):
    payload = torch.load(run / "best.pt", weights_only=True)
    payload["model"]["embedding.bias"] += torch.nan
    checkpoint.save(tmp_path / "nan.pt", payload)
    words = (voices, "--mode", "embed", "--config", run / "config.yaml", "--out", tmp_path)
    assert "not finite" in refusal(monkeypatch, *words, "--checkpoint", tmp_path / "nan.pt")


def test_verdicts_of_cut_recordings_say_so(run, voices, tmp_path, monkeypatch, capsys):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    words = ["evaluate", "--run", str(other), "--test.seconds", "[0.5]", "--loader.workers", "0"]
    monkeypatch.setattr(sys, "argv", words)
    evaluate.main()
    run_command(monkeypatch, voices / "ann.mp3", voices / "ann.ogg", "--run", other)
    said = " ".join(capsys.readouterr().out.split())
    assert "of which it heard 0.5 s of each recording, this threshold" in said
    assert "whole recordings have other rates" in said


def test_another_way_of_scoring_than_that_of_the_verdicts(run, voices, monkeypatch):
    words = (voices / "ann.mp3", voices / "ann.ogg", "--run", run)
    message = refusal(monkeypatch, *words, "--test.scoring", "s-norm")
    assert "--test.scoring s-norm: the run's verdicts have as-norm" in message
    assert "--test.top 3: the run's verdicts have 2" in refusal(
        monkeypatch, *words, "--test.top", 3
    )


@pytest.mark.parametrize(
    ("flag", "value"), [("seconds", "[0.5]"), ("cut", "test"), ("cohort_utterances", "1")]
)
def test_flags_of_evaluate_alone_are_refused(run, voices, monkeypatch, flag, value):
    words = (voices / "ann.mp3", voices / "ann.ogg", "--run", run, f"--test.{flag}", value)
    assert refusal(monkeypatch, *words).startswith(f"--test.{flag}: is for evaluate; predict hears")


@pytest.mark.parametrize("change", [{"threshold": None}, {"threshold": "0.5"}, {"count": 1.5},
                                    {"slope": "1"}, {"scoring": "dot"}])  # fmt: skip
def test_a_decision_of_other_types(run, voices, tmp_path, monkeypatch, change):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    found = json.loads((other / "decision.json").read_text())
    (other / "decision.json").write_text(json.dumps(found | change))
    message = refusal(monkeypatch, voices / "ann.mp3", voices / "ann.ogg", "--run", other)
    assert "decision.json: is not a decision that evaluate wrote" in message


def test_a_search_does_not_find_the_voice_itself_under_another_path(
    run, voices, tmp_path, monkeypatch
):
    monkeypatch.chdir(voices.parent)
    relative = (voices / "ann.mp3").relative_to(voices.parent)
    words = (relative, voices, "--mode", "search", "--run", run, "--out", tmp_path)
    run_command(monkeypatch, *words)
    found = json.loads((tmp_path / "search.json").read_text())["pairs"]
    assert str(voices / "ann.ogg") in [pair["second"] for pair in found]
    assert str(voices / "ann.mp3") not in [pair["second"] for pair in found]
