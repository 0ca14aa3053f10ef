"""The train command from its flags to a scored run directory."""

import json
import shutil
import sys

import pytest
import torch

from common.commands import card
from common.errors import UserError
from tasks.speaker import train
from tests.tasks import commands
from tests.tasks.commands import weights


def run_train(root, out, *flags):
    commands.train("speaker", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("speaker")


@pytest.fixture
def trained(shared):
    """The shared run of two epochs, to be looked at only."""
    return shared.trained("speaker")


def test_everything_that_augments_runs_through_the_command(data_root, tmp_path):
    from tasks.speaker import sample

    root = shutil.copytree(data_root, tmp_path / "data")
    sample._write_noises(root / "musan", 0)
    sample._write_rooms(root / "rirs", 0)
    run_train(
        root, tmp_path / "run", "--engine.epochs", "1",
        "--data.speeds", "[1.0,0.9,1.1]", "--data.noise", "musan", "--data.rooms", "rirs",
        "--data.augment_probability", "1", "--data.dither", "1", "--data.time_mask", "10",
        "--data.frequency_mask", "4", "--model.pooling", "attentive", "--model.subcentres", "2",
        "--loss.name", "am", "--loss.ramp", "[0,1]", "--engine.precision", "bf16",
    )  # fmt: skip
    assert weights(tmp_path / "run")["classifier.weight"].shape == (4 * 3 * 2, 16)


def test_other_speakers_need_new_class_weights(data_root, trained, tmp_path):
    words = ("--finetune", str(trained), "--data.speeds", "[1.0,0.9]")
    with pytest.raises(UserError, match=r"4 training speakers.*--new_speakers"):
        run_train(data_root, tmp_path / "second", *words)
    new = commands.start("speaker", data_root, tmp_path / "third", *words, "--new_speakers")
    old = weights(trained)
    kept = [key for key in old if not key.startswith("classifier.")]
    assert "embedding.weight" in kept
    assert all(torch.equal(old[key], new[key]) for key in kept)
    assert new["classifier.weight"].shape == (8, 16)


def test_a_run_knows_whom_it_learnt(trained):
    found = json.loads((trained / "speakers.json").read_text())
    assert found == {"speakers": ["id20000", "id20001", "id20002", "id20003"]}


@pytest.mark.slow
def test_the_default_run_reaches_the_goal(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["EER"] <= 0.08
