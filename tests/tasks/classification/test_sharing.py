"""One backbone for all: what a classifier has learnt is bit for bit where other tasks begin."""

import importlib
import sys

import pytest
import torch

from backbone import MODELS, WeightsError
from backbone.export import export
from backbone.files import read_card
from common.training.engine import Engine
from tasks.classification import sample, train

BACKBONE = "res2net26_14w_4s_half"

TASKS = {
    "pose": ("--data.input_size", "[64, 64]", "--model.head_channels", "[16, 16, 16]"),
    "salient": ("--model.head_width", "0.04"),
    "segmentation": ("--data.crop_size", "[64, 64]", "--model.channels", "32"),
    "reid": ("--engine.batch_size", "8"),
    "speaker": ("--model.width", "null"),
    "depth": ("--model.channels", "8"),
    "volumes": ("--data.folds", "2", "--model.channels", "32"),
}
"""What makes each task begin on little, with a small head."""


class Begun(Exception):
    """Training would begin now."""


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


@pytest.fixture(scope="module")
def exported(classifier):
    """Its backbone as a file."""
    weights = classifier.parent / "backbone.safetensors"
    assert export(classifier, weights) == BACKBONE
    assert read_card(weights)["metrics"].keys() == {"top1", "top5"}
    return weights


def learnt(run):
    state = torch.load(run / "best.pt", weights_only=True)["model"]
    return {
        key.removeprefix("backbone."): value
        for key, value in state.items()
        if key.startswith("backbone.")
    }


def beginning(monkeypatch, task, root, out, weights, *flags):
    """The backbone of a task's train command at the moment when its training begins."""
    begun = []

    def fit(engine, resume):
        begun.append({key: value.clone() for key, value in engine.model.state_dict().items()})
        raise Begun

    monkeypatch.setattr(Engine, "fit", fit)
    with pytest.raises(Begun):
        command(
            monkeypatch, importlib.import_module(f"tasks.{task}.train"), "--data.root", root,
            "--out", out, "--weights", weights, "--backbone", BACKBONE, "--engine.device", "cpu",
            "--engine.batch_size", 4, *TASKS[task], *flags,
        )  # fmt: skip
    prefix = "backbone."
    return {
        key.removeprefix(prefix): value for key, value in begun[0].items() if key.startswith(prefix)
    }


def test_the_classifier_has_learnt(classifier):
    torch.manual_seed(0)
    fresh, found = MODELS[BACKBONE]().state_dict(), learnt(classifier)
    assert found.keys() == fresh.keys()
    assert not any(torch.equal(fresh[key], found[key]) for key in found)


@pytest.mark.parametrize("source", ["classifier", "exported"])
@pytest.mark.parametrize("task", TASKS)
def test_another_task_begins_with_the_classifiers_backbone(
    task, source, classifier, shared, request, tmp_path, monkeypatch
):
    """Every tensor, running statistics included."""
    weights = request.getfixturevalue(source)
    taken = beginning(monkeypatch, task, shared.data(task), tmp_path / "run", weights)
    expected = learnt(classifier)
    if task == "speaker":  # one input channel: the answer to a grey picture
        expected["conv1.weight"] = expected["conv1.weight"].sum(dim=1, keepdim=True)
    assert taken.keys() == expected.keys()
    assert all(torch.equal(taken[key], expected[key]) for key in expected)


def test_a_speaker_network_of_another_width_says_so(classifier, shared, tmp_path, monkeypatch):
    message = f"made for {BACKBONE} .*does not fit res2net26_14w_4s of width 16"
    with pytest.raises(WeightsError, match=message):
        beginning(
            monkeypatch, "speaker", shared.data("speaker"), tmp_path / "run", classifier,
            "--model.width", 16,
        )  # fmt: skip
