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
from tasks.segmentation import sample, train
from tasks.segmentation.config import Config
from tests.tasks.segmentation import small


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "VOC2012"
    sample.write(folder, seed=3, train=14, val=3)
    return folder


def run_train(monkeypatch, data_root, out, *flags):
    words = [
        "--data.root", str(data_root), "--out", str(out), "--data.crop_size", "[64, 64]",
        "--data.short_side", "64", "--test.short_side", "64", "--model.channels", "32",
        "--engine.batch_size", "4", "--engine.device", "cpu", "--loader.workers", "0",
        "--engine.log_every", "1", "--engine.evaluate_every", "1", *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *words])
    train.main()


def logged(out, key):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory):
    """A run of two epochs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_train(monkeypatch, data_root, run, "--engine.epochs", "2")
    return run


def test_a_run_directory_holds_all_that_it_promises(trained):
    names = [
        "config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "classes.json",
        "curves.png", "pictures/predictions.jpg", "pictures/confusion_matrix.png",
    ]  # fmt: skip
    for name in names:
        assert (trained / name).stat().st_size > 0, name
    result = card.read(trained / "metrics.json")
    assert list(result.metrics)[:3] == ["mIoU", "pixel_accuracy", "mean_accuracy"]
    assert result.checkpoint["file"] == "best.pt"
    saved = config.read(Config, trained / "config.yaml")
    assert saved.engine.epochs == 2
    assert saved.data.classes == sample.CLASSES, "a run says what its labels mean"
    assert len(logged(trained, "metrics")) == 2
    assert list(logged(trained, "metrics")[0]) == ["mIoU", "pixel_accuracy", "mean_accuracy"]


def test_the_loss_falls(monkeypatch, data_root, tmp_path):
    flags = ("--engine.epochs", "10", "--engine.evaluate_every", "10")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    losses = logged(tmp_path / "run", "loss")
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_all_options_of_the_loss_together(monkeypatch, data_root, tmp_path):
    flags = ("--engine.epochs", "1", "--loss.hard_threshold", "0.7")
    flags += ("--data.blur_probability", "0.5", "--engine.accumulate", "2")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    parts = line["cross_entropy"] + line["dice"] + line["auxiliary"]
    assert line["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_first_losses_are_the_stored_ones(trained):
    """A refactor that moves these numbers changes what users train: it must say why."""
    golden = [3.752, 3.634, 3.344]
    assert logged(trained, "loss")[: len(golden)] == pytest.approx(golden, rel=0.02)


def test_a_run_is_never_overwritten_and_can_go_on(monkeypatch, data_root, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    with pytest.raises(UserError, match="--resume"):
        run_train(monkeypatch, data_root, run, "--engine.epochs", "2")
    steps = logged(run, "step")[-1]
    run_train(monkeypatch, data_root, run, "--engine.epochs", "3", "--resume")
    assert logged(run, "step")[-1] > steps


def test_a_run_is_a_source_of_weights(monkeypatch, data_root, trained, tmp_path):
    """With a learning rate too small to move anything, the new run's trunk is the old one's."""
    still = (
        "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
        "--optimizer.weight_decay", "0",
    )  # fmt: skip
    run_train(monkeypatch, data_root, tmp_path / "second", "--weights", str(trained), *still)
    run_train(monkeypatch, data_root, tmp_path / "third", "--finetune", str(trained), *still)
    old, second, third = (
        torch.load(run / "best.pt", weights_only=True)["model"]
        for run in (trained, tmp_path / "second", tmp_path / "third")
    )
    convolutions = [key for key in old if key.startswith("backbone.") and old[key].ndim == 4]
    assert len(convolutions) > 20
    assert all(torch.equal(old[key], second[key]) for key in convolutions)
    assert not torch.equal(old["head.0.weight"], second["head.0.weight"])
    assert torch.equal(old["head.0.weight"], third["head.0.weight"])


def test_lists_without_a_class_file(monkeypatch, tmp_path):
    root = small.write_list(tmp_path / "camvid")
    small.write_list(root, pictures=3, split="val")
    flags = ("--data.format", "list", "--data.ignore_index", "3", "--engine.epochs", "1")
    with pytest.raises(UserError, match=r"--data\.classes is missing"):
        run_train(monkeypatch, root, tmp_path / "run", *flags)
    flags += ("--data.classes", "[background, disc, bar]")
    run_train(monkeypatch, root, tmp_path / "run", *flags)
    assert "IoU bar" in card.read(tmp_path / "run" / "metrics.json").metrics


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backbone", "resnet51"), "--backbone resnet51"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--finetune", "nowhere"), "--finetune nowhere"),
        (("--data.root", "nowhere"), "nowhere"),
        (("--data.train_split", "trainaug"), "--data.sbd"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--engine.sync_batchnorm",), "--engine.sync_batchnorm"),
        (("--data.crop", "3"), "data.crop"),
        (("--data.classes", "[background, ball]"), "2 classes"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    monkeypatch, data_root, tmp_path, flags, message
):
    with pytest.raises((UserError, WeightsError)) as caught:
        run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_the_command_ends_with_one_line_and_status_2(tmp_path):
    words = ["--data.root", "nowhere", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.segmentation.train", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["mIoU"] >= 0.70
