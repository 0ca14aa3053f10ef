"""What the train command of every task has to do, from its flags to a scored run directory."""

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from backbone import WeightsError
from common.commands import card, config, seen
from common.errors import UserError
from tests.tasks import commands
from tests.tasks.commands import logged, weights
from tests.tasks.rows import ROWS

FILES = ("config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "curves.png")

MISTAKES = (
    (("--backbone", "resnet51"), "--backbone resnet51"),
    (("--weights", "nowhere.pth"), "nowhere.pth"),
    (("--finetune", "nowhere"), "--finetune nowhere: no such file"),
    (("--finetune", "a", "--weights", "b"), "--weights and --finetune: give one"),
    (("--data.root", "nowhere"), "nowhere"),
    (("--engine.epoch", "3"), "--engine.epoch"),
)
"""Those of every task."""

every_task = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def kind_of(row, name="Config"):
    return getattr(import_module(f"tasks.{row.name}.config"), name)


@every_task
def test_a_run_directory_holds_all_that_it_promises(row, shared):
    run = shared.trained(row.name)
    for name in (*FILES, *row.files):
        assert (run / name).stat().st_size > 0, name
    result = card.read(run / "metrics.json")
    names = tuple(result.metrics)
    assert names[: len(row.metrics)] == row.metrics
    assert row.more_metrics or len(names) == len(row.metrics)
    for section, key, value in row.says:
        assert getattr(result, section)[key] == value
    assert result.checkpoint["file"] == "best.pt"
    assert config.read(kind_of(row), run / "config.yaml").engine.epochs == 2


@every_task
def test_files_that_are_trained_on_and_scored_are_said(row, shared, tmp_path, capsys, monkeypatch):
    root, compared = shutil.copytree(shared.data(row.name), tmp_path / "data"), []
    report = seen.report
    monkeypatch.setattr(seen, "report", lambda *splits: compared.append(splits) or report(*splits))
    commands.start(row.name, root, tmp_path / "first")
    assert "scores on them say nothing" not in capsys.readouterr().err
    training, scored = map(sorted, compared.pop())
    assert all(Path(file).is_file() for file in (*training, *scored))
    shutil.copyfile(training[0], scored[-1])
    commands.start(row.name, root, tmp_path / "second")
    said = capsys.readouterr().err
    assert f"1 of the {len(scored)} files that are scored are in the training split as well" in said
    assert f"(first: {scored[-1]} = {training[0]}); scores on them say nothing" in said


SCORED_ON_TRAINING = {
    "pose": ("--data.val_split", "train2017"),
    "salient": ("--data.test_sets", "[DUTS-TR]"),
    "segmentation": ("--data.val_split", "train"),
    "detection": ("--data.val_split", "train2017"),
    "classification": ("--data.val_split", "train"),
    "depth": ("--data.val_split", "train"),
    "interactive": ("--data.val_split", "train"),
    "panoptic": ("--data.val_split", "train2017"),
    "volumes": ("--data.val_split", "train"),
}


@pytest.mark.parametrize("name", SCORED_ON_TRAINING)
def test_a_run_that_is_scored_on_its_own_training_says_so(
    name, shared, tmp_path, capsys, monkeypatch
):
    flags = ("--run", shared.trained(name), "--out", tmp_path, "--loader.workers", "0")
    report = seen.report

    def reported(*splits):
        report(*splits)
        raise commands.Enough

    monkeypatch.setattr(seen, "report", reported)
    with pytest.raises(commands.Enough):
        main = import_module(f"tasks.{name}.evaluate").main
        commands.call(main, *flags, *SCORED_ON_TRAINING[name])
    said = capsys.readouterr().err
    assert re.search(r"warning: (\d+) of the \1 files that are scored", said), said
    assert "scores on them say nothing" in said


@pytest.mark.parametrize(
    "name",
    [name if name == "detection" else pytest.param(name, marks=pytest.mark.slow) for name in ROWS],
)
def test_scores_do_not_depend_on_what_runs_the_trunk(name, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    run, out = shared.trained(name), tmp_path / "out"
    words = ("--run", run, "--out", out, "--engine.device", "cpu", "--backend", "onnxruntime")
    commands.call(import_module(f"tasks.{name}.evaluate").main, *words)
    found, own = card.read(out / "metrics.json"), card.read(run / "metrics.json")
    assert found.metrics == pytest.approx(own.metrics, abs=2e-3)
    assert found.model["backend"] == "onnxruntime" and "backend" not in own.model


@every_task
def test_the_log_has_every_step_and_every_epoch(row, shared):
    run = shared.trained(row.name)
    metrics = logged(run, "metrics")
    assert len(metrics) == 2
    assert all(tuple(epoch) == row.watched for epoch in metrics)
    steps = logged(run, "loss")
    for name in (*row.terms, "samples_per_second"):
        assert len(logged(run, name)) == len(steps), name


@every_task
def test_the_first_losses_are_the_stored_ones(row, shared):
    """A refactor that moves these numbers changes what users train: it must say why."""
    losses = logged(shared.trained(row.name), "loss")
    for loss, (golden, tolerance) in zip(losses, row.golden, strict=False):
        assert loss == pytest.approx(golden, rel=tolerance)
    assert len(losses) >= len(row.golden)


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.falls], ids=lambda row: row.name
)
def test_the_loss_falls(row, shared, tmp_path):
    run = tmp_path / "run"
    if row.falls.flags:
        commands.fit(row.name, shared.data(row.name), run, *row.falls.flags)
    else:
        run = shared.trained(row.name)
    for name in row.falls.names:
        values = logged(run, name)
        first, last = values[: row.falls.steps], values[-row.falls.steps :]
        assert sum(last) < row.falls.factor * sum(first), name


@every_task
def test_a_run_is_never_overwritten_and_can_go_on(row, shared, tmp_path):
    """It ends as any run does, scored and drawn, for which no task asks whether it went on."""
    root, run = shared.data(row.name), tmp_path / "run"
    shutil.copytree(shared.trained(row.name), run)
    with pytest.raises(UserError, match="--resume"):
        commands.train(row.name, root, run, "--engine.epochs", "2", *row.trained)
    steps = logged(run, "step")[-1]
    flags = ("--engine.epochs", "3", "--resume", *row.trained)
    commands.fit(row.name, root, run, *flags)
    assert logged(run, "step")[-1] == steps * 3 / 2
    assert len(logged(run, "metrics")) == 3
    with pytest.raises(UserError) as caught:
        commands.train(row.name, root, run, *flags, *row.changed)
    assert row.changed[0].removeprefix("--") in str(caught.value)


@every_task
def test_a_run_is_a_source_of_weights(row, shared, tmp_path):
    """A new run begins with the trunk of the old one, and with a head of its own."""
    old = weights(shared.trained(row.name))
    flags = ("--weights", str(shared.trained(row.name)), *row.trained)
    new = commands.start(row.name, shared.data(row.name), tmp_path / "run", *flags)
    trunk = [key for key in old if key.startswith("backbone.")]
    assert len([key for key in trunk if old[key].ndim == 4]) > 20
    assert all(torch.equal(old[key], new[key]) for key in trunk)
    assert not any(torch.equal(old[key], new[key]) for key in (*row.head, *row.own))


@every_task
def test_a_frozen_backbone_stays_bit_for_bit_while_the_head_learns(row, shared, tmp_path):
    """Its statistics too; and the cards of both runs name the same trunk."""
    source, run = shared.trained(row.name), tmp_path / "run"
    flags = ("--weights", str(source), "--freeze_backbone", "true", *row.trained)
    flags += ("--engine.epochs", "1")
    first = commands.start(row.name, shared.data(row.name), run, *flags, go_on=True)
    old, new = weights(source), weights(run)
    assert all(torch.equal(new[key], old[key]) for key in old if key.startswith("backbone."))
    assert not any(torch.equal(new[key], first[key]) for key in row.head)
    models = [card.read(one / "metrics.json").model for one in (source, run)]
    assert models[0]["trunk"] == models[1]["trunk"] and len(models[0]["trunk"]) == 16
    assert models[1]["weights"] == str(source)


@every_task
def test_a_whole_model_can_be_fine_tuned(row, shared, tmp_path):
    """The new run begins with the old one's model, all but what belongs to other classes."""
    old, flags = weights(shared.trained(row.name)), ("--finetune", shared.trained(row.name))
    new = commands.start(row.name, shared.data(row.name), tmp_path, *flags, *row.trained)
    assert old.keys() == new.keys()
    assert set(row.head) < old.keys() - set(row.own)
    assert all(torch.equal(old[key], new[key]) for key in old.keys() - set(row.own))
    assert not any(torch.equal(old[key], new[key]) for key in row.own)


@pytest.mark.parametrize(
    ("task", "flags", "message"),
    [
        pytest.param(row.name, flags, message, id=f"{row.name} {' '.join(flags)}")
        for row in ROWS.values()
        for flags, message in (*MISTAKES, *row.mistakes)
    ],
)
def test_a_mistake_is_found_before_anything_is_written(task, flags, message, shared, tmp_path):
    with pytest.raises((UserError, WeightsError)) as caught:
        commands.train(task, shared.data(task), tmp_path / "run", *flags)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@every_task
def test_a_folder_that_is_no_run_is_no_model(row, shared, tmp_path):
    root = shared.data(row.name)
    with pytest.raises(UserError, match=r"best\.pt: no such checkpoint"):
        commands.train(row.name, root, tmp_path / "run", "--finetune", str(root))
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@every_task
def test_the_command_ends_with_one_line_and_status_2(row, tmp_path, capsys):
    words = ("--data.root", "nowhere", "--out", tmp_path / "run")
    with pytest.raises(SystemExit) as caught:
        commands.run_module(f"tasks.{row.name}.train", *words)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1


def test_so_does_a_process_of_its_own(tmp_path):
    words = ["--data.root", "nowhere", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.pose.train", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@every_task
def test_a_saved_config_reads_back_equal(row, tmp_path):
    kind = kind_of(row)
    for found in (kind(), config.parse(kind, list(row.config))):
        config.save(found, tmp_path / "config.yaml")
        assert config.read(kind, tmp_path / "config.yaml") == found
    assert found != kind()


@every_task
def test_two_sources_of_weights_are_one_too_many_and_none_cannot_be_frozen(row):
    predict = import_module(f"tasks.{row.name}.predict").PredictConfig
    for kind in (kind_of(row), kind_of(row, "ScoredConfig"), predict):
        with pytest.raises(UserError, match="--weights and --finetune: give one"):
            config.parse(kind, ["--weights", "a.pth", "--finetune", "runs/b"])
        with pytest.raises(UserError, match="--freeze_backbone: would keep random numbers"):
            config.parse(kind, ["--freeze_backbone", "true"])


@every_task
def test_an_unknown_flag_is_one_line(row):
    with pytest.raises(UserError, match=r"data\.no_such_flag") as caught:
        config.parse(kind_of(row), ["--data.no_such_flag", "3"])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@every_task
def test_the_sample_command_writes_a_new_folder_only(row, tmp_path, capsys):
    module, out = f"tasks.{row.name}.sample", tmp_path / "set"
    commands.run_module(module, out, *row.sample)
    assert row.sample_says in capsys.readouterr().out
    pattern, count = row.sample_files
    assert len(list(out.glob(pattern))) == count
    with pytest.raises(SystemExit) as caught:
        commands.run_module(module, out)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "not empty" in said
    assert said.count("\n") == 1


@every_task
def test_the_default_set_is_cached(row, tmp_path, monkeypatch, capsys):
    sample = import_module(f"tasks.{row.name}.sample")
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    monkeypatch.setattr(sample, "write", lambda folder: (folder / "made").touch())
    assert (sample.sample_set() / "made").exists()
    assert "generated" in capsys.readouterr().out
    sample.sample_set()
    assert not capsys.readouterr().out
