"""The train command from its flags to a scored run directory."""

import shutil
import sys

import pytest
import torch

from common.commands import card
from common.errors import UserError
from tasks.classification import labels, sample, train
from tests.tasks import commands
from tests.tasks.classification import small
from tests.tasks.commands import logged, weights
from tests.tasks.rows import STILL


def run_train(root, out, *flags):
    commands.train("classification", root, out, *flags)


@pytest.fixture
def data_root(shared):
    return shared.data("classification")


@pytest.fixture
def trained(shared):
    """The shared run of two epochs, to be looked at only."""
    return shared.trained("classification")


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
def test_both_kinds_of_recipe_run(data_root, tmp_path, recipe):
    run_train(data_root, tmp_path / "run", "--engine.epochs", "1", *recipe)
    assert all(loss > 0 for loss in logged(tmp_path / "run", "loss"))
    assert 0 <= card.read(tmp_path / "run" / "metrics.json").metrics["top1"] <= 1


def test_a_run_says_what_its_labels_mean_and_goes_on_with_the_same_only(
    data_root, trained, tmp_path
):
    assert labels.read(trained / "classes.txt").names == sample.CLASSES
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "classes.txt").write_text("others\n")
    with pytest.raises(UserError, match=r"the training set: its classes are not those of the run"):
        run_train(data_root, run, "--engine.epochs", "3", "--resume")


def test_finetuning_takes_a_run_of_the_same_classes_only(data_root, trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data_root, other)
    for split in ("train", "val"):
        first = min((other / split).iterdir())
        first.rename(first.with_name("aardvark"))
    with pytest.raises(
        UserError, match=r"--finetune .*not those of that run .*1 unexpected \(aard"
    ):
        run_train(other, tmp_path / "out", "--finetune", str(trained))
    assert not (tmp_path / "out").exists()
    words = ("--finetune", str(trained), "--new_classes", *STILL)
    commands.fit("classification", other, tmp_path / "out", *words)
    old, new = weights(trained), weights(tmp_path / "out")
    kept = [key for key in old if key.endswith("weight") and not key.startswith("fc.")]
    assert all(torch.equal(old[key], new[key]) for key in kept)
    was = {name: place for place, name in enumerate(labels.read(trained / "classes.txt").names)}
    now = labels.read(tmp_path / "out" / "classes.txt").names
    equal = [name in was and torch.equal(old["fc.weight"][was[name]], new["fc.weight"][place])
             for place, name in enumerate(now)]  # fmt: skip
    assert equal == [name != "aardvark" for name in now]


def test_a_checkpoint_of_a_run_is_scored_again_alike(monkeypatch, trained, tmp_path):
    from tasks.classification import evaluate

    words = ["--run", str(trained), "--out", str(tmp_path / "again"), "--loader.workers", "2"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *words])
    evaluate.main()
    first, again = (card.read(folder / "metrics.json") for folder in (trained, tmp_path / "again"))
    assert first.metrics == again.metrics
    assert first.data["fingerprint"] == again.data["fingerprint"]


def test_the_small_tree_of_the_tests_is_learnt(tmp_path):
    """Twelve pictures by heart: pictures and labels belong together."""
    root = small.write_tree(tmp_path / "data", train=4, val=1)
    commands.fit(
        "classification", root, tmp_path / "run", "--engine.epochs", "8",
        "--engine.batch_size", "12", "--data.scale", "[1.0, 1.0]",
        "--data.flip_probability", "0", "--engine.evaluate_every", "8",
    )  # fmt: skip
    losses = logged(tmp_path / "run", "loss")
    assert sum(losses[-3:]) < 0.3 * sum(losses[:3])


@pytest.mark.slow
def test_the_default_run_reaches_the_score_that_its_page_states(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run")])
    train.main()
    assert card.read(tmp_path / "run" / "metrics.json").metrics["top1"] >= 0.9
