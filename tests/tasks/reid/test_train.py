"""The train command from its flags to a scored run directory, on one rank."""

import sys

import pytest
import torch

from common.commands import card
from common.errors import UserError
from tasks.reid import train
from tests.tasks import commands
from tests.tasks.commands import logged, weights
from tests.tasks.reid import small
from tests.tasks.rows import CENTERS, REID


def run_train(root, out, *flags):
    commands.train("reid", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("reid")


@pytest.fixture
def trained(shared):
    """The shared run of two epochs, to be looked at only."""
    return shared.trained("reid")


def test_a_resumed_run_ends_with_the_same_weights_and_centers(data_root, trained, tmp_path):
    second = tmp_path / "second"
    commands.fit("reid", data_root, second, "--engine.epochs", "1", *REID.trained)
    run_train(data_root, second, "--engine.epochs", "2", "--resume", *REID.trained)
    one, other = weights(trained, "last.pt"), weights(second, "last.pt")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_is_a_source_of_weights_whatever_its_persons(trained, tmp_path):
    other = small.write_market(tmp_path / "other", train=(1, 2, 3, 4))
    new = commands.start("reid", other, tmp_path / "second", "--weights", str(trained))
    old = weights(trained)
    trunk = [key for key in old if key.startswith("backbone.")]
    assert len(trunk) > 100
    assert all(torch.equal(old[key], new[key]) for key in trunk)
    assert len(new["classifier.weight"]) == 4


def test_a_whole_model_is_finetuned_to_other_persons(trained, tmp_path):
    other = small.write_market(tmp_path / "other", train=(1, 2, 3, 4))
    flags = ("--finetune", str(trained), *CENTERS)
    new = commands.start("reid", other, tmp_path / "second", *flags)
    old = weights(trained)
    kept = [key for key in old if key not in ("classifier.weight", "centers")]
    assert {"bottleneck.weight", "backbone.conv1.weight"} < set(kept)
    assert all(torch.equal(old[key], new[key]) for key in kept)
    assert len(new["classifier.weight"]) == len(new["centers"]) == 4
    with pytest.raises(UserError, match="--backbone resnet26_half"):
        run_train(other, tmp_path / "no", *flags, "--backbone", "resnet26")


@pytest.mark.parametrize(
    "flags",
    [
        # Larger than the others: oneDNN's bf16 is wrong for features of width 1 on CPUs with AMX.
        (
            "--loss.pairs",
            "circle",
            "--model.pooling",
            "gem",
            "--engine.precision",
            "bf16",
            "--data.input_size",
            "[64, 64]",
        ),
        ("--loss.pairs", "none", "--engine.ema", "0.9", "--steady_rate", "--test.rerank"),
    ],
)
def test_other_ways_to_train(data_root, tmp_path, flags):
    run_train(data_root, tmp_path / "run", "--engine.epochs", "1", *flags)
    assert card.read(tmp_path / "run" / "metrics.json").metrics["mAP"] > 0


def test_micro_batches_learn_as_the_whole_batch_does(data_root, tmp_path):
    """The centers, which see features of untouched weights in the first step, move alike.

    Batch statistics differ between the two, so this holds for features and centers roughly only;
    that it is exact for equal features is shown in test_loss.
    """
    for name, accumulate in (("whole", "1"), ("parts", "2")):
        flags = ("--engine.epochs", "1", "--engine.accumulate", accumulate, "--engine.clip", "1")
        commands.fit("reid", data_root, tmp_path / name, *flags, *CENTERS)
        assert logged(tmp_path / name, "metrics")[-1]["mAP"] > 0
    one, other = (weights(tmp_path / name, "last.pt")["centers"] for name in ("whole", "parts"))
    assert (one - other).norm() < 0.3 * one.norm()


def test_a_damaged_picture_may_be_skipped(tmp_path):
    root = small.write_market(tmp_path / "market", train=(1, 2, 3, 4))
    path = root / "bounding_box_train" / "0001_c1s1_000000_00.jpg"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(UserError, match="cut short"):
        run_train(root, tmp_path / "stop", "--engine.epochs", "1")
    out = tmp_path / "skip"
    flags = ("--engine.epochs", "1", "--data.on_error", "skip", *CENTERS)
    commands.fit("reid", root, out, *flags)
    assert str(path) in (out / "log.jsonl").read_text()


@pytest.mark.slow
def test_the_default_run_finds_people_it_has_never_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["mAP"] >= 0.60
