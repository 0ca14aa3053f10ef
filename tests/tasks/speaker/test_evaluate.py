"""The whole way from recordings to a score, and the command."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common.commands import card
from common.errors import UserError
from common.training import checkpoint
from common.training.distributed import World
from tasks.speaker import audio, evaluate
from tasks.speaker.conditions import all_scores, quick_scores
from tasks.speaker.config import ScoringConfig
from tasks.speaker.data import read
from tasks.speaker.decision import read_decision
from tasks.speaker.figures import det_curve
from tasks.speaker.inference import embed
from tasks.speaker.learnt import Learnt, keep, learnt_before
from tasks.speaker.metrics import (
    equal_errors,
    normalised,
    operating_points,
    verification_scores,
)
from tasks.speaker.model import to_published
from tasks.speaker.trials import read_scores
from tests.tasks.speaker.small import TINY, tiny_config, write_run, write_set

WORLD = World()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data"))


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Oracle(nn.Module):
    """Knows whose recording it hears: embeds it near the speaker's own direction."""

    def __init__(self, files, seconds=0.0):
        super().__init__()
        self.known = {}
        for file in files:
            wave = audio.read(file, 0, seconds or None)
            self.known[round(float(np.abs(wave).sum()), 2)] = file.parts[-3]
        self.names = sorted(set(self.known.values()))

    def forward(self, waves):
        rows = []
        for wave in waves:
            name = self.known[round(float(wave.abs().sum()), 2)]
            row = torch.zeros(8)
            row[self.names.index(name)] = 1
            rows.append(row + 0.01 * wave[:8])
        return torch.stack(rows)


def plain(config):
    return dataclasses.replace(config, loader=dataclasses.replace(config.loader, workers=0))


def all_files(material):
    return [*material.files(), *map(type(material.root), material.training.files)]


def test_a_model_that_knows_makes_no_errors(root):
    config = plain(tiny_config(root, test=ScoringConfig(seconds=(0,))))
    material = read(config)
    model = Oracle(all_files(material)).eval()
    evaluation = all_scores(model, material, config, WORLD)
    assert [one.scoring for one in evaluation.conditions] == ["cosine", "mean", "s-norm", "as-norm"]
    for one in evaluation.conditions:
        assert len(one.scores) == 66
        if one.scoring in ("cosine", "mean"):  # three speakers are too few for a norm
            assert one.metrics == {"EER": 0, "minDCF01": 0, "minDCF05": 0}
    assert evaluation.metrics["Cllr"] < 0.1
    assert evaluation.metrics["minCllr"] == 0
    assert quick_scores(model, material, config, WORLD)["EER"] == 0


def test_cut_recordings_are_the_first_seconds_on_one_side_or_both(root):
    config = plain(tiny_config(root, test=ScoringConfig(seconds=(0.5, 0))))
    material = read(config)
    model = write_model(config)
    both = all_scores(model, material, config, WORLD)
    one_sided = dataclasses.replace(config, test=ScoringConfig(seconds=(0.5, 0), cut="test"))
    test_only = all_scores(model, material, one_sided, WORLD)
    files = material.files()
    full, _ = embed(model, files, config, WORLD)
    cut, _ = embed(model, files, config, WORLD, 0.5)
    trials = material.sets[0].trials
    full, cut = normalised(full), normalised(cut)
    for evaluation, enrol in ((both, cut), (test_only, full)):
        expected = [
            float(enrol[a] @ cut[b]) for a, b in zip(trials.enrol, trials.test, strict=True)
        ]
        np.testing.assert_allclose(evaluation.conditions[0].scores, expected, atol=1e-5)
    lengths = {(one.scoring, one.seconds) for one in both.conditions}
    assert len(lengths) == 8


def write_model(config):
    from tasks.speaker.model import build

    torch.manual_seed(0)
    return build(config.backbone, config.model, None).eval()


def test_unreadable_recordings_are_left_out_with_their_trials(tmp_path, capsys):
    root = write_set(tmp_path)
    config = plain(tiny_config(root, test=ScoringConfig(seconds=(0,))))
    model = write_model(config)
    damaged = root / "test/wav/id10001/video0/00000.wav"
    damaged.write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"00000\.wav"):
        all_scores(model, read(config), config, WORLD)
    skip = dataclasses.replace(config, data=dataclasses.replace(config.data, on_error="skip"))
    found = all_scores(model, read(skip), skip, WORLD).conditions[0]
    assert len(found.scores) == 66 - 11
    assert "1 of 12 samples could not be read" in capsys.readouterr().out
    names = [read(skip).sets[0].trials.recordings[k] for k in (4,)]
    assert names == ["id10001/video0/00000.wav"]
    damaged.unlink()
    with pytest.raises(UserError, match="1 of the 12 recordings that it names do not exist"):
        read(config)
    assert len(all_scores(model, read(skip), skip, WORLD).conditions[0].scores) == 55


def test_nothing_left_to_score(tmp_path):
    root = write_set(tmp_path, test=2)
    config = plain(tiny_config(root, data={"on_error": "skip"}, test=ScoringConfig(seconds=(0,))))
    model = write_model(config)
    for file in (root / "test/wav/id10001").rglob("*.wav"):
        file.unlink()
    with pytest.raises(UserError, match="not of both kinds"):
        all_scores(model, read(config), config, WORLD)


def test_training_speakers_in_the_trials_are_refused(tmp_path, monkeypatch):
    root = write_set(tmp_path / "data")
    write_run(tmp_path / "run", root)
    lines = (root / "veri_test.txt").read_text()
    (root / "known.txt").write_text(lines.replace("id10001", "id20001"))
    words = ("--run", tmp_path / "run", "--loader.workers", 0, "--data.trials", "[known.txt]")
    message = refusal(monkeypatch, *words)
    assert "1 of its 3 speakers are training speakers" in message
    assert "id20001" in message


@pytest.mark.parametrize("flag", ["run", "finetune", "weights", "file"])
def test_speakers_of_the_record_are_refused_whatever_the_training_set_is_now(
    root, tmp_path, monkeypatch, flag
):
    run = tmp_path / "run"
    write_run(run, root, test=ScoringConfig(seconds=(0,)))
    keep(["id10001", "id9"], None, run, True)
    if flag in ("finetune", "weights"):
        config = dataclasses.replace(tiny_config(root), **{flag: str(run)})
        keep(["id8"], learnt_before(config), tmp_path / "second", True)
        assert json.loads((tmp_path / "second/speakers.json").read_text()) == {
            "speakers": ["id10001", "id8", "id9"]
        }
        with pytest.raises(UserError, match="1 of its 3 speakers"):
            read(config, learnt_before(config))
        return
    words = ["--run", run, "--loader.workers", 0]
    if flag == "file":
        words = ["--config", run / "config.yaml", "--checkpoint", run / "best.pt", *words[2:]]
        words += ["--out", tmp_path / "out"]
    message = refusal(monkeypatch, *words)
    assert f"1 of its 3 speakers are training speakers of {run / 'speakers.json'}" in message
    assert "(id10001)" in message
    run_command(monkeypatch, *words, "--test.shared_names", "allow")
    one = card.read((tmp_path / "out" if flag == "file" else run) / "metrics.json")
    assert one.data["shared_names"] == 1
    (run / "speakers.json").unlink()  # a run of before there was a record
    run_command(monkeypatch, *words)


def test_a_calibration_list_of_speakers_of_the_record_is_refused(tmp_path):
    root = write_set(tmp_path, test=4)
    lines = (root / "veri_test.txt").read_text().splitlines()
    for name, others in (("veri_test", ("id10002", "id10003")), ("known", ("id10000", "id10001"))):
        kept = [line for line in lines if not any(other in line for other in others)]
        (root / f"{name}.txt").write_text("\n".join(kept))
    test = ScoringConfig(seconds=(0,), calibration=Path("known.txt"))
    config = tiny_config(root, test=test)
    assert read(config, Learnt(root, frozenset({"id20000"}))).shared == frozenset()
    with pytest.raises(UserError, match=r"known\.txt: 1 of its 2 speakers .* \(id10002\)"):
        read(config, Learnt(root, frozenset({"id10002"})))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"speakers": [1]}', '{"speakers": "ann"}'])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "speakers.json").write_text(content)
    with pytest.raises(UserError, match=r"speakers\.json"):
        learnt_before(dataclasses.replace(tiny_config(), finetune=str(tmp_path)))


def test_training_recordings_in_the_trials_are_refused_whatever_their_speakers_are_called(tmp_path):
    root = write_set(tmp_path)
    files = sorted((root / "test/wav").rglob("*.wav"))
    lines = [f"S{file.parts[-3]} {file.relative_to(root)}" for file in files[:-1]]
    (root / "train.txt").write_text("\n".join(lines))
    config = tiny_config(root, data={"train": Path("train.txt")})
    with pytest.raises(UserError, match="11 of its 12 recordings are training recordings of"):
        read(config)


def test_two_lists_of_one_name_are_refused(tmp_path):
    root = write_set(tmp_path)
    (root / "more").mkdir()
    (root / "more/veri_test.txt").write_text((root / "veri_test.txt").read_text())
    config = tiny_config(root)
    lists = (Path("veri_test.txt"), Path("more/veri_test.txt"))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, trials=lists))
    with pytest.raises(UserError, match=r"--data\.trials: .* are both called veri_test"):
        read(config)


def test_the_command_writes_all_there_is_to_tell(root, tmp_path, monkeypatch, capsys):
    write_run(
        tmp_path / "run", root, test=ScoringConfig(seconds=(0, 0.5), scoring="as-norm", top=2)
    )
    run_command(monkeypatch, "--run", tmp_path / "run", "--loader.workers", 0)
    printed = capsys.readouterr().out
    assert "scoring as-norm" in printed
    assert "veri_test" in printed
    run = tmp_path / "run"
    one = card.read(run / "metrics.json")
    assert one.task == "speaker"
    assert list(one.metrics) == ["EER", "minDCF01", "minDCF05", "Cllr", "minCllr"]
    assert one.protocol["length"] == "full"
    assert one.protocol["top"] == 2
    assert (one.protocol["channel"], one.protocol["floor"]) == ("mean", 1e-7)
    assert one.data["trials"] == 66
    assert one.checkpoint["epoch"] == 3
    rows = json.loads((run / "conditions.json").read_text())
    assert len(rows) == 2 * 4
    assert {row["seconds"] for row in rows} == {0, 0.5}
    # The score file is what the score was computed from.
    scores, target = read_scores(run / "scores" / "veri_test_full.txt")
    assert verification_scores(scores, target)["EER"] == pytest.approx(one.metrics["EER"])
    assert (run / "scores" / "veri_test_0.5s.txt").is_file()
    for name in ("det.png", "scores.png"):
        assert (run / "pictures" / name).stat().st_size > 5000
    found = read_decision(run / "decision.json")
    assert found.scoring == "as-norm"
    assert found.checkpoint == one.checkpoint["sha256"]
    accepted = scores >= found.threshold - 1e-6
    assert found.false_accepts == pytest.approx(accepted[~target].mean(), abs=0.05)


def test_a_published_checkpoint_without_a_run_or_training_speakers(tmp_path, monkeypatch):
    root = write_set(tmp_path / "data")
    plain_head = dataclasses.replace(TINY, centred=False)  # as published nets are
    model = write_run(tmp_path / "run", root, model=plain_head)
    state = {f"module.{key}": value for key, value in to_published(model.state_dict()).items()}
    torch.save(state, tmp_path / "avg_model.pt")
    for file in sorted((root / "dev").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (root / "dev").rmdir()
    words = ["--config", tmp_path / "run" / "config.yaml", "--loader.workers", 0]
    words += ["--checkpoint", tmp_path / "avg_model.pt", "--out", tmp_path / "out"]
    words += ["--test.seconds", "[0]"]
    run_command(monkeypatch, *words)
    one = card.read(tmp_path / "out" / "metrics.json")
    assert one.checkpoint["epoch"] is None
    assert one.data["cohort"] is None
    assert one.protocol["calibrated_on"] == "nothing"
    assert "Cllr" not in one.metrics
    assert "--test.scoring as-norm: needs the training speakers" in refusal(
        monkeypatch, *words, "--test.scoring", "as-norm"
    )


def test_a_score_file_needs_no_model(tmp_path, monkeypatch, capsys):
    lines = ["a b 0.9 target", "a c 0.4 target", "b c 0.5 nontarget", "b d 0.1 nontarget"]
    (tmp_path / "mine.txt").write_text("\n".join(lines))
    out = tmp_path / "out"
    run_command(monkeypatch, "--scores", tmp_path / "mine.txt", "--out", out)
    printed = capsys.readouterr().out
    assert "EER" in printed
    assert "0.5000" in printed
    content = json.loads((out / "metrics.json").read_text())
    assert content["metrics"]["EER"] == 0.5
    assert content["trials"] == 4
    assert (out / "det.png").is_file()
    (tmp_path / "labels.txt").write_text("1 a b\n1 a c\n0 b c\n0 b d\n")
    bare = "\n".join(line.rpartition(" ")[0] for line in lines)
    (tmp_path / "bare.txt").write_text(bare)
    words = ["--scores", tmp_path / "bare.txt", "--labels", tmp_path / "labels.txt"]
    words += ["--calibration_scores", tmp_path / "mine.txt", "--out", out]
    run_command(monkeypatch, *words)
    content = json.loads((out / "metrics.json").read_text())
    assert content["metrics"]["EER"] == 0.5
    assert content["metrics"]["Cllr"] > content["metrics"]["minCllr"] - 1e-9
    assert "--labels" in refusal(monkeypatch, "--scores", tmp_path / "bare.txt", "--out", out)
    assert "belong to --scores" in refusal(monkeypatch, "--labels", tmp_path / "labels.txt")
    assert "--scores and --run" in refusal(
        monkeypatch, "--scores", tmp_path / "mine.txt", "--run", tmp_path
    )


def test_scores_of_a_file_do_not_replace_those_of_a_run(tmp_path, monkeypatch):
    """The default folder, runs/speaker of speaker.txt, may be that of a run."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "speaker")
    kept = tmp_path / "runs" / "speaker" / "metrics.json"
    kept.write_text("the run's")
    Path("speaker.txt").write_text("a b 0.9 target\na c 0.4 nontarget\n")
    message = "--out runs/speaker: a run is kept there"
    assert message in refusal(monkeypatch, "--scores", "speaker.txt")
    assert message in refusal(monkeypatch, "--scores", "speaker.txt", "--out", "runs/speaker")
    assert kept.read_text() == "the run's"
    run_command(monkeypatch, "--scores", "speaker.txt", "--out", "runs/mine")
    assert Path("runs/mine/metrics.json").is_file()


def test_det_curve_of_easy_and_hard_scores(tmp_path):
    generator = np.random.default_rng(0)
    curves = {}
    for name, distance in (("easy", 9.0), ("usual", 3.0), ("hopeless", 0.0)):
        target = generator.random(500) < 0.5
        points = operating_points(generator.normal(size=500) + distance * target, target)
        curves[name] = (points, equal_errors(points))
    det_curve(tmp_path / "det.png", curves)
    assert (tmp_path / "det.png").stat().st_size > 5000


def test_what_is_missing_or_broken_is_told_in_one_line(root, tmp_path, monkeypatch):
    write_run(tmp_path / "run", root)
    assert "--run is missing" in refusal(monkeypatch)
    assert "no such folder" in refusal(monkeypatch, "--run", tmp_path / "none")
    run = ("--run", tmp_path / "run", "--loader.workers", 0)
    assert "no such list" in refusal(monkeypatch, *run, "--data.trials", "[gone.txt]")
    assert "speaker trained" not in refusal(monkeypatch, *run, "--backbone", "resnet26")
    (tmp_path / "text.pt").write_text("not weights")
    assert "not a checkpoint" in refusal(monkeypatch, *run, "--checkpoint", tmp_path / "text.pt")


def test_a_model_of_nothing_but_nan_is_refused(root):
    config = plain(tiny_config(root, test=ScoringConfig(seconds=(0,))))
    model = write_model(config)
    nn.init.constant_(model.embedding.bias, torch.nan)
    with pytest.raises(UserError, match="not finite"):
        quick_scores(model, read(config), config, WORLD)


def test_averaged_weights_of_the_last_checkpoint_are_taken(root, tmp_path):
    from common.commands import trained
    from tasks.speaker.model import from_published

    model = write_run(tmp_path / "run", root)
    file = tmp_path / "run" / "last.pt"
    payload = torch.load(file, weights_only=True)
    payload["ema"] = {key: value + 1 for key, value in model.state_dict().items()}
    checkpoint.save(file, payload)
    loaded = trained.read("--checkpoint", file, from_published).state
    assert torch.equal(loaded["embedding.bias"], model.embedding.bias + 1)


def test_score_files_that_contradict_themselves_or_the_list(tmp_path):
    labels, file = tmp_path / "list.txt", tmp_path / "scores.txt"
    labels.write_text("1 a b\n0 a c\n1 a b\n")
    file.write_text("a b 0.9 target\na c 0.1\na b 0.9\n")
    scores, target = read_scores(file, labels)
    assert (scores.tolist(), target.tolist()) == ([0.9, 0.1, 0.9], [True, False, True])
    for text, message in (
        ("a b 0.9\na c 0.1\na b 0.8\n", "line 3: the trial a b has another score on line 1"),
        ("a b 0.9\na c 0.1 target\n", "the trial a c has another label than in"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            read_scores(file, labels)
