"""The commands of a task as its tests call them, and what they have left."""

import json
import runpy
import sys
from importlib import import_module

import pytest
import torch

from common.commands import training
from tests.tasks.rows import ROWS, SMALL


def words(task, root, out, *flags):
    """The words of the task's smallest training; later flags win."""
    return ["--data.root", str(root), "--out", str(out), *SMALL, *ROWS[task].flags, *flags]


def call(main, *arguments):
    """A command's main function, given these words."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        main()


def run_module(module, *arguments):
    """``python -m module``, but in this process."""
    call(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True), *arguments)


def train(task, root, out, *flags):
    """The task's train command with its smallest training."""
    call(import_module(f"tasks.{task}.train").main, *words(task, root, out, *flags))


class Begun(Exception):
    """A training that is at its first step."""


def start(task, root, out, *flags):
    """The weights with which a training would make its first step."""
    found = {}

    def fit(config, world, run, model, *_, **__):
        found.update(model.state_dict())
        raise Begun

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(training, "fit", fit)
        with pytest.raises(Begun):
            train(task, root, out, *flags)
    return found


def logged(out, key):
    """The values of a key in the log, in their order."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def weights(out, file="best.pt"):
    """The weights of a run's checkpoint."""
    return torch.load(out / file, weights_only=True)["model"]
