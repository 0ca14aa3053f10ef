"""The commands of a task as its tests call them, and what they have left."""

import contextlib
import copy
import json
import runpy
import sys
from importlib import import_module

import pytest
import torch

from common.commands import plot, training
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


class Enough(Exception):
    """A training that has come as far as a test looks at it."""


def start(task, root, out, *flags, go_on=False):
    """The weights with which a training makes its first step; it ends there unless it may go on."""
    found, fit = {}, training.fit

    def begun(config, world, run, model, *rest, **named):
        found.update(copy.deepcopy(model.state_dict()) if go_on else model.state_dict())
        if not go_on:
            raise Enough
        fit(config, world, run, model, *rest, **named)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(training, "fit", begun)
        with contextlib.nullcontext() if go_on else pytest.raises(Enough):
            train(task, root, out, *flags)
    return found


def fit(task, root, out, *flags):
    """The same training to its last step and checkpoint, neither drawn nor scored."""

    def ended(*_):
        raise Enough

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(plot, "curves", ended)
        with pytest.raises(Enough):
            train(task, root, out, *flags)


def logged(out, key):
    """The values of a key in the log, in their order."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def weights(out, file="best.pt"):
    """The weights of a run's checkpoint."""
    return torch.load(out / file, weights_only=True)["model"]
