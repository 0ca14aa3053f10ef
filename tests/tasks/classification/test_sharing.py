"""One backbone for all: what a classifier has learnt is bit for bit where other tasks begin."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

from backbone.convert import read_card
from backbone.export import export
from tasks.classification import sample, train

ROOT = Path(__file__).parents[3]

# A training that moves nothing, so that its checkpoint shows what it began with.
STILL = (
    "--engine.epochs", "1", "--engine.batch_size", "4", "--engine.device", "cpu",
    "--loader.workers", "0", "--optimizer.name", "sgd", "--optimizer.learning_rate", "1e-30",
    "--optimizer.weight_decay", "0",
)  # fmt: skip

TASKS = {
    "pose": (
        {"train": 6, "val": 2},
        ("--data.input_size", "[64, 64]", "--model.head_channels", "[16, 16, 16]"),
    ),
    "salient": (
        {"train": 6, "test": 2, "edge": 5},
        ("--data.input_size", "[48, 48]", "--model.head_width", "0.04"),
    ),
    "segmentation": (
        {"train": 6, "val": 2},
        (
            "--data.crop_size", "[64, 64]", "--data.short_side", "64", "--test.short_side", "64",
            "--model.channels", "32",
        ),
    ),
}  # fmt: skip
"""How each task writes its sample set and becomes small."""


def command(monkeypatch, module, *words):
    monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
    module.main()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A small classifier, trained on sample data."""
    folder = tmp_path_factory.mktemp("classifier")
    sample.write(folder / "data", seed=5, train=20, val=10)
    with pytest.MonkeyPatch.context() as monkeypatch:
        command(
            monkeypatch, train, "--data.root", folder / "data", "--out", folder / "run",
            "--data.input_size", 32, "--test.input_size", 32, "--engine.epochs", 1,
            "--engine.batch_size", 10, "--engine.device", "cpu", "--loader.workers", 0,
            "--model.stem_stride", 1, "--model.max_pool", "false",
        )  # fmt: skip
    return folder / "run"


def backbone_of(run):
    state = torch.load(run / "best.pt", weights_only=True)["model"]
    return {key: value for key, value in state.items() if key.startswith("backbone.")}


@pytest.mark.parametrize(
    ("task", "source"), [("pose", "exported"), *((task, "run") for task in TASKS)]
)
def test_another_task_begins_with_the_classifiers_backbone(
    task, source, classifier, tmp_path, monkeypatch
):
    if not (ROOT / "tasks" / task / "__init__.py").is_file():
        pytest.skip(f"the task {task} is not there yet")
    weights = classifier
    if source == "exported":
        weights = tmp_path / "backbone.safetensors"
        assert export(classifier, weights) == "res2net26_14w_4s_half"
        assert read_card(weights)["metrics"].keys() == {"top1", "top5"}
    counts, flags = TASKS[task]
    importlib.import_module(f"tasks.{task}.sample").write(tmp_path / "data", seed=3, **counts)
    command(
        monkeypatch, importlib.import_module(f"tasks.{task}.train"),
        "--data.root", tmp_path / "data", "--out", tmp_path / "run", "--weights", weights,
        "--backbone", "res2net26_14w_4s_half", *STILL, *flags,
    )  # fmt: skip
    learnt, taken = backbone_of(classifier), backbone_of(tmp_path / "run")
    assert taken.keys() == learnt.keys()
    # Running statistics go on moving; what learns does not.
    weights_only = [key for key in learnt if "running" not in key and "num_batches" not in key]
    assert len(weights_only) > 100
    assert all(torch.equal(taken[key], learnt[key]) for key in weights_only)
    torch.manual_seed(0)
    fresh = importlib.import_module("backbone").MODELS["res2net26_14w_4s_half"]().state_dict()
    convolutions = [key for key in weights_only if learnt[key].ndim == 4]
    moved = [
        not torch.equal(learnt[key], fresh[key.removeprefix("backbone.")]) for key in convolutions
    ]
    assert all(moved), "the classifier had learnt something"
