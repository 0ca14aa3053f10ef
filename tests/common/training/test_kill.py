"""Killed at any moment and resumed, a run ends as one that was never killed."""

import hashlib
import json
import os
import random
import signal
import time

import pytest
import torch

from common.training import checkpoint
from tests.common.training.toy import log_of
from tests.common.training.zygote import Zygote

HANGS = 120
"""Seconds after which a process is thought to wait for ever, on however busy a machine."""


def equal(first, second) -> bool:
    """Whether two checkpoints hold the same tensors, bit for bit, and the same plain values."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


def log_lines(run):
    """The log without the one number that measures time."""
    lines = log_of(run.parent, run.name)
    return [{k: v for k, v in line.items() if k != "samples_per_second"} for line in lines]


def assert_same_run(killed, whole):
    assert equal(checkpoint.read(killed / "last.pt"), checkpoint.read(whole / "last.pt"))
    hashes = [hashlib.sha256((run / "best.pt").read_bytes()).hexdigest() for run in (killed, whole)]
    assert hashes[0] == hashes[1]
    assert log_lines(killed) == log_lines(whole)
    assert not list(killed.glob("*.tmp"))


def wait_for_save(run, before: int) -> None:
    """Until last.pt is another file than at time `before`, or a few seconds have passed."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and modified(run) == before:
        time.sleep(0.001)


def wait_for_steps(run) -> None:
    """Until the log has a step."""
    log = run / "log.jsonl"
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline and not (log.exists() and b"loss" in log.read_bytes()):
        time.sleep(0.001)


def modified(run) -> int:
    return (run / "last.pt").stat().st_mtime_ns if (run / "last.pt").exists() else 0


def train_with_kills(zygote: Zygote, folder, kills: int, ranks: int, duration: float, **settings):
    """Train in folder/killed with that many SIGKILLs of all its processes at random moments."""
    run, moments = folder / "killed", random.Random(kills)
    for number in range(kills):
        before = modified(run)
        pids = zygote.start(
            "train", folder / "output", ranks, out=str(run), resume=before > 0, **settings
        )
        if number % 3:  # every third may die at its very start
            wait_for_save(run, before)
        time.sleep(moments.uniform(0, 0.5 * duration / kills))
        os.killpg(pids[0], signal.SIGKILL)
        statuses = zygote.wait(pids, HANGS)
        if -signal.SIGKILL not in statuses:  # all steps were made before this one
            assert number > 0 and statuses == [0] * ranks, statuses
            return
    status = zygote.run(
        "train", folder / "output", ranks, out=str(run), resume=modified(run) > 0, **settings
    )
    assert status == [0] * ranks, (folder / "output").read_text()


def check_kills(zygote, folder, kills, ranks=1, **settings):
    settings = {"save_every": 1, **settings}
    begin = time.monotonic()
    status = zygote.run("train", folder / "output", ranks, out=str(folder / "whole"), **settings)
    assert status == [0] * ranks, (folder / "output").read_text()
    train_with_kills(zygote, folder, kills, ranks, time.monotonic() - begin, **settings)
    assert_same_run(folder / "killed", folder / "whole")


def test_twelve_kills(zygote, tmp_path):
    check_kills(zygote, tmp_path, 12, epochs=24)


@pytest.mark.parametrize(
    ("ranks", "settings"),
    [
        (1, {"precision": "bf16", "workers": 2, "optimizer": "adamw", "save_every": 2}),
        (2, {}),
    ],
)
def test_three_kills(zygote, tmp_path, ranks, settings):
    check_kills(zygote, tmp_path, 3, ranks, epochs=6, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fifteen_kills(zygote, tmp_path, ranks, workers, precision):
    check_kills(zygote, tmp_path, 15, ranks, epochs=40, workers=workers, precision=precision)


@pytest.fixture(scope="module")
def whole(zygote, tmp_path_factory):
    """A run of the default settings that was never killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert zygote.run("train", folder / "output", out=str(folder / "run")) == [0]
    return folder / "run"


@pytest.mark.parametrize("where", ["half", "whole", "renamed"])
@pytest.mark.parametrize("write", [1, 5, 6, 7])  # the first of all, and those around an epoch's end
def test_killed_while_writing(zygote, tmp_path, whole, where, write):
    # Writes: start, step 2, step 4, before the evaluation, best (5), last (6), step 6 (7), ...
    run, output = tmp_path / "killed", tmp_path / "output"
    status = zygote.run("train_dying", output, out=str(run), resume=False, write=write, where=where)
    assert status == [-signal.SIGKILL]
    written = write - (where != "renamed")
    assert (run / "last.pt").exists() == (written > 0)
    assert len(list(run.glob("*.tmp"))) == (where != "renamed")
    if written:
        steps = [0, 2, 4, 4, 4, 4, 6]
        assert checkpoint.read(run / "last.pt")["progress"]["step"] == steps[written - 1]
    assert zygote.run("train", output, out=str(run), resume=written > 0) == [0]
    assert_same_run(run, whole)


def test_disk_full(zygote, tmp_path, whole):
    run, output = tmp_path / "full", tmp_path / "output"
    assert zygote.run("train_full", output, out=str(run), write=3, limit=12_000) == [2]
    assert checkpoint.read(run / "last.pt")["progress"]["step"] == 2
    assert not list(run.glob("*.tmp"))
    text = output.read_text().splitlines()[-1]
    assert text.startswith(f"error: {run / 'last.pt'}: the checkpoint (")
    assert "File too large; the previous one is kept." in text
    assert "--resume" in text
    assert zygote.run("train", output, out=str(run), resume=True) == [0]
    assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, 0), (signal.SIGTERM, 2), (signal.SIGINT, 2)]
)
def test_signal_saves_and_ends(zygote, tmp_path, number, workers):
    """As from a terminal or a cluster: the signal reaches the loader's workers too."""
    run, output, told = tmp_path / "run", tmp_path / "output", tmp_path / "told.json"
    settings = {"save_every": 0, "workers": workers}
    # Far more steps than are made before the signal, on a machine of any speed.
    pids = zygote.start(
        "train_and_tell", output, out=str(run), told=str(told), epochs=5000, **settings
    )
    wait_for_steps(run)
    os.killpg(pids[0], number)
    assert zygote.wait(pids, HANGS) == [128 + number], output.read_text()
    progress = checkpoint.read(run / "last.pt")["progress"]
    step = progress["step"]
    assert 0 < step < 20000
    assert output.read_text().splitlines()[-1] == (
        f"stopped by a signal after step {step}; saved in {run / 'last.pt'}. "
        f"--resume goes on from there"
    )
    # By themselves: a worker that has to be killed would be waited for first.
    assert json.loads(told.read_text()) == [0] * workers
    settings["epochs"] = progress["epoch"] + 2
    assert zygote.run("train", output, out=str(run), resume=True, **settings) == [0]
    assert zygote.run("train", output, out=str(tmp_path / "whole"), **settings) == [0]
    assert_same_run(run, tmp_path / "whole")


def test_signal_to_one_rank_stops_both(zygote, tmp_path):
    run, output = tmp_path / "run", tmp_path / "output"
    pids = zygote.start("train", output, 2, out=str(run), epochs=5000, save_every=0)
    wait_for_steps(run)
    os.kill(pids[1], signal.SIGTERM)
    assert zygote.wait(pids, HANGS) == [143, 143], output.read_text()
    assert checkpoint.read(run / "last.pt")["progress"]["step"] < 20000
