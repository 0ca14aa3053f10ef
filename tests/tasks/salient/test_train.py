"""The train command from its flags to a scored run directory."""

import sys

import pytest

from common.commands import card
from tasks.salient import train
from tests.tasks import commands
from tests.tasks.commands import logged, weights


def run_train(root, out, *flags):
    commands.train("salient", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("salient")


def test_single_pictures_of_their_own_size_as_published(data_root, tmp_path):
    """Native size, sums over pixels, frozen BatchNorm, gradients of several pictures a step."""
    run_train(
        data_root, tmp_path / "run", "--data.fit", "native",
        "--engine.batch_size", "5", "--engine.accumulate", "5", "--loss.reduction", "sum",
        "--loss.iou", "0", "--model.freeze_batchnorm", "true", "--engine.epochs", "1",
        "--optimizer.learning_rate", "5e-5", "--optimizer.weight_decay", "5e-4",
    )  # fmt: skip
    losses = logged(tmp_path / "run", "loss")
    assert len(losses) == 2
    # ln 2 for each pixel of a picture of about 220 x 185.
    assert 0.4 * 40_000 < losses[0] < 1.2 * 40_000
    state = weights(tmp_path / "run", "last.pt")
    assert not state["backbone.bn1.running_mean"].any()
    assert (state["backbone.bn1.weight"] == 1).all()


def test_the_edge_branch_and_structure_aware_terms_learn_beside(data_root, tmp_path):
    flags = ("--model.edge", "true", "--data.train_set", "DUTS-TR/train_pair.lst")
    flags += ("--loss.ssim", "1", "--data.fit", "pad", "--engine.epochs", "1")
    flags += ("--data.least_crop", "0.7", "--data.light", "0.2")
    run_train(data_root, tmp_path / "run", *flags)
    for term in ("edge", "ssim"):
        assert len(logged(tmp_path / "run", term)) == 3
    assert "head.edge.fuse.weight" in weights(tmp_path / "run")
    assert card.read(tmp_path / "run" / "metrics.json").protocol["inputs"] == "pad [48, 48]"


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    metrics = card.read(tmp_path / "run" / "metrics.json").metrics
    assert metrics["MaxF"] >= 0.90
    assert metrics["MAE"] <= 0.06
