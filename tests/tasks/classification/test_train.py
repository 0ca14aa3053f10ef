"""The train command from its flags to a scored run directory."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from backbone import WeightsError
from common.commands import card, config
from common.errors import UserError
from tasks.classification import labels, sample, train
from tasks.classification.config import Config
from tests.tasks.classification import small


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "tree"
    sample.write(folder, seed=3, train=20, val=10)
    return folder


def run_train(monkeypatch, data_root, out, *flags):
    words = [
        "--data.root", str(data_root), "--out", str(out), "--data.input_size", "32",
        "--test.input_size", "32", "--engine.batch_size", "4", "--engine.device", "cpu",
        "--loader.workers", "0", "--engine.log_every", "1", "--engine.evaluate_every", "1",
        "--optimizer.name", "adam", "--optimizer.learning_rate", "0.001",
        "--optimizer.warmup_epochs", "0", *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *words])
    train.main()


def logged(out, key):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory):
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_train(monkeypatch, data_root, folder, "--engine.epochs", "2")
    return folder


def test_a_run_directory_holds_all_that_it_promises(trained):
    names = ("config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "curves.png")
    for name in (*names, "classes.txt", "per_class.csv"):
        assert (trained / name).stat().st_size > 0, name
    result = card.read(trained / "metrics.json")
    assert list(result.metrics) == ["top1", "top5"]
    assert result.checkpoint["file"] == "best.pt"
    assert config.read(Config, trained / "config.yaml").engine.epochs == 2
    assert len(logged(trained, "metrics")) == 2
    assert labels.read(trained / "classes.txt").names == sample.CLASSES


def test_the_first_losses_are_the_stored_ones(trained):
    """A refactor that moves these numbers changes what users train: it must say why."""
    losses = logged(trained, "loss")
    assert losses[:2] == pytest.approx([1.893, 3.883], rel=0.02)
    # The steps are large: at the third, processors that round differently are 6 % apart.
    assert losses[2] == pytest.approx(3.7, rel=0.04)


@pytest.mark.parametrize(
    "recipe",
    [
        ("--loss.label_smoothing", "0.1", "--data.decoding", "exact"),
        (
            "--data.randaugment", "7", "--loss.mixup", "0.1", "--loss.cutmix", "1",
            "--optimizer.name", "lamb", "--engine.ema", "0.9", "--engine.accumulate", "2",
        ),
    ],
    ids=["official", "modern"],
)  # fmt: skip
def test_both_kinds_of_recipe_run(monkeypatch, data_root, tmp_path, recipe):
    run_train(monkeypatch, data_root, tmp_path / "run", "--engine.epochs", "1", *recipe)
    assert all(loss > 0 for loss in logged(tmp_path / "run", "loss"))
    assert 0 <= card.read(tmp_path / "run" / "metrics.json").metrics["top1"] <= 1


def test_a_run_is_never_overwritten_and_can_go_on(monkeypatch, data_root, tmp_path):
    out = tmp_path / "run"
    run_train(monkeypatch, data_root, out, "--engine.epochs", "1")
    with pytest.raises(UserError, match="--resume"):
        run_train(monkeypatch, data_root, out, "--engine.epochs", "1")
    steps = logged(out, "step")[-1]
    run_train(monkeypatch, data_root, out, "--engine.epochs", "2", "--resume")
    assert logged(out, "step")[-1] == 2 * steps
    (out / "classes.txt").write_text("others\n")
    with pytest.raises(UserError, match=r"the training set: its classes are not those of the run"):
        run_train(monkeypatch, data_root, out, "--engine.epochs", "3", "--resume")


STILL = (
    "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
    "--optimizer.weight_decay", "0",
)  # fmt: skip
"""A learning rate too small to move anything."""


@pytest.mark.parametrize("flag", ["--weights", "--finetune"])
def test_a_run_is_a_source_of_weights(monkeypatch, data_root, trained, tmp_path, flag):
    run_train(monkeypatch, data_root, tmp_path / "second", flag, str(trained), *STILL)
    old, new = (
        torch.load(run / "best.pt", weights_only=True)["model"]
        for run in (trained, tmp_path / "second")
    )
    convolutions = [key for key in old if key.startswith("backbone.") and old[key].ndim == 4]
    assert len(convolutions) > 20
    assert all(torch.equal(old[key], new[key]) for key in convolutions)
    same_layer = torch.equal(old["fc.weight"], new["fc.weight"])
    assert same_layer == (flag == "--finetune")


def test_finetuning_takes_a_run_of_the_same_classes_only(monkeypatch, data_root, trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data_root, other)
    for split in ("train", "val"):
        first = min((other / split).iterdir())
        first.rename(first.with_name("aardvark"))
    with pytest.raises(
        UserError, match=r"--finetune .*not those of that run .*1 unexpected \(aard"
    ):
        run_train(monkeypatch, other, tmp_path / "out", "--finetune", str(trained))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backbone", "resnet51"), "--backbone resnet51"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--finetune", "nowhere.pth"), "--finetune nowhere.pth"),
        (("--data.root", "nowhere"), "nowhere"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--engine.epoch", "3"), "--engine.epoch"),
        (("--data.input_size", "[32, 32]"), "--data.input_size"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    monkeypatch, data_root, tmp_path, flags, message
):
    with pytest.raises((UserError, WeightsError)) as caught:
        run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_command_ends_with_one_line_and_status_2(tmp_path):
    words = ["--data.root", "nowhere", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.classification.train", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_checkpoint_of_a_run_is_scored_again_alike(monkeypatch, trained, tmp_path):
    from tasks.classification import evaluate

    words = ["--run", str(trained), "--out", str(tmp_path / "again"), "--loader.workers", "2"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *words])
    evaluate.main()
    first, again = (card.read(folder / "metrics.json") for folder in (trained, tmp_path / "again"))
    assert first.metrics == again.metrics
    assert first.data["fingerprint"] == again.data["fingerprint"]


def test_the_small_tree_of_the_tests_is_learnt(monkeypatch, tmp_path):
    """Twelve pictures by heart: pictures and labels belong together."""
    root = small.write_tree(tmp_path / "data", train=4, val=1)
    run_train(
        monkeypatch, root, tmp_path / "run", "--engine.epochs", "16", "--engine.batch_size", "12",
        "--data.scale", "[1.0, 1.0]", "--data.flip_probability", "0",
        "--engine.evaluate_every", "16",
    )  # fmt: skip
    losses = logged(tmp_path / "run", "loss")
    assert sum(losses[-3:]) < 0.3 * sum(losses[:3])


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["top1"] >= 0.9
