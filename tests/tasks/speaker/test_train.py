"""The train command from its flags to a scored run directory."""

import json
import subprocess
import sys

import pytest
import torch

from backbone import WeightsError
from common.commands import card, config
from common.errors import UserError
from tasks.speaker import train
from tasks.speaker.config import Config
from tests.tasks.speaker.small import BACKBONE, write_set


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "voxceleb", train=4)


def run_train(monkeypatch, data_root, out, *flags):
    words = [
        "--data.root", str(data_root), "--out", str(out), "--data.seconds", "1.0",
        "--backbone", BACKBONE, "--model.bins", "24", "--model.width", "8",
        "--model.stem_stride", "2", "--model.strides", "[2,2,2,1]", "--model.embedding", "16",
        "--engine.batch_size", "4", "--engine.device", "cpu", "--loader.workers", "0",
        "--engine.log_every", "1", "--optimizer.learning_rate", "0.003",
        "--engine.evaluate_every", "1", "--test.seconds", "[0]",
        *flags,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train", *words])
    train.main()


def logged(out, key):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture
def trained(monkeypatch, data_root, tmp_path):
    """A run of two epochs."""
    run_train(monkeypatch, data_root, tmp_path / "run", "--engine.epochs", "2")
    return tmp_path / "run"


def test_a_run_directory_holds_all_that_it_promises(trained):
    for name in (
        "config.yaml", "log.jsonl", "last.pt", "best.pt", "metrics.json", "curves.png",
        "decision.json", "backend.npz", "conditions.json", "pictures/det.png",
    ):  # fmt: skip
        assert (trained / name).stat().st_size > 0, name
    result = card.read(trained / "metrics.json")
    assert list(result.metrics)[:3] == ["EER", "minDCF01", "minDCF05"]
    assert result.protocol["scoring"] == "cosine"
    assert result.checkpoint["file"] == "best.pt"
    assert config.read(Config, trained / "config.yaml").engine.epochs == 2
    assert len(logged(trained, "metrics")) == 2


def test_the_loss_falls(monkeypatch, data_root, tmp_path):
    """Over whole epochs: with a few recordings a step, one step may be worse than all others."""
    flags = ("--engine.epochs", "24", "--engine.evaluate_every", "24", "--loss.margin", "0")
    flags += ("--engine.batch_size", "16")
    run_train(monkeypatch, data_root, tmp_path / "run", *flags)
    losses = logged(tmp_path / "run", "loss")
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_first_losses_are_the_stored_ones(trained):
    """A refactor that moves these numbers changes what users train: it must say why."""
    golden = [3.033, 3.900, 2.019]
    assert logged(trained, "loss")[: len(golden)] == pytest.approx(golden, rel=0.02)


def test_everything_that_augments_runs_through_the_command(monkeypatch, data_root, tmp_path):
    from tasks.speaker import sample

    sample._write_noises(data_root / "musan", 0)
    sample._write_rooms(data_root / "rirs", 0)
    run_train(
        monkeypatch, data_root, tmp_path / "run", "--engine.epochs", "1",
        "--data.speeds", "[1.0,0.9,1.1]", "--data.noise", "musan", "--data.rooms", "rirs",
        "--data.augment_probability", "1", "--data.dither", "1", "--data.time_mask", "10",
        "--data.frequency_mask", "4", "--model.pooling", "attentive", "--model.subcentres", "2",
        "--loss.name", "am", "--loss.ramp", "[0,1]", "--engine.precision", "bf16",
    )  # fmt: skip
    weights = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["model"]
    assert weights["classifier.weight"].shape == (4 * 3 * 2, 16)


def test_a_run_is_never_overwritten_and_can_go_on(monkeypatch, data_root, trained):
    with pytest.raises(UserError, match="--resume"):
        run_train(monkeypatch, data_root, trained, "--engine.epochs", "2")
    steps = logged(trained, "step")[-1]
    run_train(monkeypatch, data_root, trained, "--engine.epochs", "3", "--resume")
    assert logged(trained, "step")[-1] > steps
    with pytest.raises(UserError, match=r"loss\.margin"):
        run_train(
            monkeypatch, data_root, trained,
            "--engine.epochs", "3", "--resume", "--loss.margin", "0.5",
        )  # fmt: skip


STILL = (
    "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
    "--optimizer.weight_decay", "0",
)  # fmt: skip
"""Too small a learning rate to move anything."""


def weights_of(run):
    return torch.load(run / "best.pt", weights_only=True)["model"]


def convolutions_equal(old, new):
    names = [key for key in old if key.startswith("backbone.") and old[key].ndim == 4]
    assert len(names) > 20
    return all(torch.equal(old[key], new[key]) for key in names)


def test_a_run_is_a_source_of_weights(monkeypatch, data_root, trained, tmp_path):
    second = tmp_path / "second"
    run_train(monkeypatch, data_root, second, "--weights", str(trained), *STILL)
    old, new = weights_of(trained), weights_of(second)
    assert convolutions_equal(old, new)
    assert not torch.equal(old["embedding.weight"], new["embedding.weight"])


def test_large_margin_fine_tuning_starts_from_the_whole_run(
    monkeypatch, data_root, trained, tmp_path
):
    second = tmp_path / "second"
    run_train(monkeypatch, data_root, second, "--finetune", str(trained), *STILL)
    old, new = weights_of(trained), weights_of(second)
    assert convolutions_equal(old, new)
    assert torch.equal(old["embedding.weight"], new["embedding.weight"])
    assert torch.equal(old["classifier.weight"], new["classifier.weight"])
    assert card.read(second / "metrics.json").model["weights"] == str(trained)


def test_other_speakers_need_new_class_weights(monkeypatch, data_root, trained, tmp_path):
    words = ("--finetune", str(trained), "--data.speeds", "[1.0,0.9]", *STILL)
    with pytest.raises(UserError, match=r"4 training speakers.*--new_speakers"):
        run_train(monkeypatch, data_root, tmp_path / "second", *words)
    run_train(monkeypatch, data_root, tmp_path / "third", *words, "--new_speakers")
    old, new = weights_of(trained), weights_of(tmp_path / "third")
    assert convolutions_equal(old, new)
    assert torch.equal(old["embedding.weight"], new["embedding.weight"])
    assert new["classifier.weight"].shape == (8, 16)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--backbone", "resnet51"), "--backbone resnet51"),
        (("--weights", "nowhere.pth"), "nowhere.pth"),
        (("--finetune", "nowhere.pt"), "--finetune nowhere.pt"),
        (("--data.root", "nowhere"), "nowhere"),
        (("--data.train", "nowhere"), "--data.train nowhere"),
        (("--data.trials", "[nowhere.txt]"), "nowhere.txt"),
        (("--data.noise", "nowhere"), "--data.noise nowhere"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--engine.epoch", "3"), "--engine.epoch"),
        (("--data.seconds", "0"), "--data.seconds"),
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
        [sys.executable, "-m", "tasks.speaker.train", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_default_run_reaches_the_goal(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["EER"] <= 0.08
