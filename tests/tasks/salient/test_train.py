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
from tasks.salient import sample, train
from tasks.salient.config import Config
from tasks.salient.metrics import MAIN


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "sample"
    sample.write(folder, seed=3, train=14, test=3, edge=5)
    return folder


def run_train(monkeypatch, data_root, out, *flags):
    words = [
        "--data.root", str(data_root), "--out", str(out), "--data.input_size", "[48, 48]",
        "--model.head_width", "0.04", "--engine.batch_size", "4",
        "--optimizer.learning_rate", "0.003",
        "--engine.device", "cpu", "--loader.workers", "0", "--engine.log_every", "1",
        "--engine.evaluate_every", "1", *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *words])
    train.main()


def logged(out, key):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope="module")
def trained(data_root, tmp_path_factory):
    """A run of two epochs, to be looked at."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_train(monkeypatch, data_root, folder, "--engine.epochs", "2")
    return folder


def test_a_run_directory_holds_all_that_it_promises(trained):
    for name in ("config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "curves.png"):
        assert (trained / name).stat().st_size > 0, name
    result = card.read(trained / "metrics.json")
    assert tuple(result.metrics)[:7] == MAIN
    assert result.checkpoint["file"] == "best.pt"
    assert result.data["split"] == "DUTS-TE"
    assert config.read(Config, trained / "config.yaml").engine.epochs == 2
    assert list(logged(trained, "metrics")[-1]) == list(MAIN)
    assert len(logged(trained, "saliency")) == len(logged(trained, "iou")) == 6


def test_the_loss_falls(monkeypatch, data_root, tmp_path):
    flags = ("--engine.epochs", "7", "--engine.evaluate_every", "7")
    flags += ("--optimizer.learning_rate", "0.01", "--model.head_width", "0.125")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    losses = logged(tmp_path / "run", "loss")
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


def test_the_first_losses_are_the_stored_ones(trained):
    """A refactor that moves these numbers changes what users train: it must say why."""
    golden = [1.5282, 1.5589, 1.5482]
    assert logged(trained, "loss")[: len(golden)] == pytest.approx(golden, rel=0.005)


def test_single_pictures_of_their_own_size_as_published(monkeypatch, data_root, tmp_path):
    """Native size, sums over pixels, frozen BatchNorm, gradients of several pictures a step."""
    run_train(
        monkeypatch, data_root, tmp_path / "run", "--data.fit", "native",
        "--engine.batch_size", "5", "--engine.accumulate", "5", "--loss.reduction", "sum",
        "--loss.iou", "0", "--model.freeze_batchnorm", "true", "--engine.epochs", "1",
        "--optimizer.learning_rate", "5e-5", "--optimizer.weight_decay", "5e-4",
    )  # fmt: skip
    losses = logged(tmp_path / "run", "loss")
    assert len(losses) == 2
    # ln 2 for each pixel of a picture of about 220 x 185.
    assert 0.4 * 40_000 < losses[0] < 1.2 * 40_000
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["model"]
    assert not state["backbone.bn1.running_mean"].any()
    assert (state["backbone.bn1.weight"] == 1).all()


def test_the_edge_branch_learns_beside(monkeypatch, data_root, tmp_path):
    flags = ("--model.edge", "true", "--engine.epochs", "1", "--data.train_set")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags, "DUTS-TR/train_pair.lst")
    assert len(logged(tmp_path / "run", "edge")) == 3
    state = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["model"]
    assert "head.edge.fuse.weight" in state


def test_structure_aware_terms(monkeypatch, data_root, tmp_path):
    flags = ("--loss.ssim", "1", "--data.fit", "pad", "--engine.epochs", "1")
    flags += ("--data.least_crop", "0.7", "--data.light", "0.2")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    assert len(logged(tmp_path / "run", "ssim")) == 3
    assert card.read(tmp_path / "run" / "metrics.json").protocol["inputs"] == "pad [48, 48]"


def test_a_run_is_never_overwritten_and_can_go_on(monkeypatch, data_root, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    with pytest.raises(UserError, match="--resume"):
        run_train(monkeypatch, data_root, run, "--engine.epochs", "2")
    run_train(monkeypatch, data_root, run, "--engine.epochs", "3", "--resume")
    assert logged(run, "step")[-1] > logged(trained, "step")[-1]
    with pytest.raises(UserError, match=r"loss\.iou"):
        flags = ("--engine.epochs", "3", "--resume", "--loss.iou", "0.5")
        run_train(monkeypatch, data_root, run, *flags)


@pytest.mark.parametrize("flag", ["--weights", "--finetune"])
def test_a_run_is_a_source_of_weights(monkeypatch, data_root, trained, tmp_path, flag):
    """With a learning rate too small to move anything, the new run has the old one's weights."""
    run_train(
        monkeypatch, data_root, tmp_path / "second", flag, str(trained),
        "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
        "--optimizer.weight_decay", "0",
    )  # fmt: skip
    old, new = (
        torch.load(run / "best.pt", weights_only=True)["model"]
        for run in (trained, tmp_path / "second")
    )
    convolutions = [key for key in old if key.startswith("backbone.") and old[key].ndim == 4]
    assert len(convolutions) > 20
    assert all(torch.equal(old[key], new[key]) for key in convolutions)
    same_head = torch.equal(old["head.score.weight"], new["head.score.weight"])
    assert same_head == (flag == "--finetune")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backbone", "resnet51"), "--backbone resnet51"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--finetune", "nowhere"), "--finetune nowhere: no such file"),
        (("--finetune", "a", "--weights", "b"), "--weights and --finetune: give one"),
        (("--data.root", "nowhere"), "nowhere"),
        (("--data.train_set", "MSRA-B"), "--data.train_set MSRA-B: no folder"),
        (("--model.edge", "true", "--data.edge_set", "BSDS"), "--data.edge_set BSDS: no folder"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--engine.epoch", "3"), "--engine.epoch"),
        (("--data.fit", "native"), "--engine.accumulate 4"),
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
        [sys.executable, "-m", "tasks.salient.train", *words],
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
    metrics = card.read(tmp_path / "run" / "metrics.json").metrics
    assert metrics["MaxF"] >= 0.90
    assert metrics["MAE"] <= 0.06
