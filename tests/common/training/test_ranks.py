"""Training on several ranks."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.training import checkpoint
from tests import ranks
from tests.common.training.toy import PLAIN, log_of, losses


def run_ranks(zygote, folder, name, count, **settings):
    statuses = zygote.run("train", folder / "output", count, out=str(folder / name), **settings)
    assert statuses == [0] * count, (folder / "output").read_text()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_ranks_follow_one(zygote, tmp_path, accumulate):
    run_ranks(zygote, tmp_path, "one", 1, accumulate=accumulate, epochs=5, **PLAIN)
    run_ranks(zygote, tmp_path, "two", 2, accumulate=accumulate, epochs=5, **PLAIN)
    one, two = losses(tmp_path, "one"), losses(tmp_path, "two")
    assert len(one) == 20
    assert one[-1] < 0.8 * one[0]
    assert two == pytest.approx(one, rel=1e-4)
    scores = [[x["metrics"] for x in log_of(tmp_path, n) if "metrics" in x] for n in ("one", "two")]
    for first, second in zip(*scores, strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    names = [checkpoint.read(tmp_path / n / "last.pt")["model"].keys() for n in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_the_number_of_ranks_may_change_on_resume(zygote, tmp_path, before, after):
    run_ranks(zygote, tmp_path, "whole", 1, **PLAIN)
    output, run = tmp_path / "output", str(tmp_path / "changed")
    stopped = zygote.run("train", output, before, out=run, poison=7, **PLAIN)
    assert stopped == [2] * before
    saved = checkpoint.read(tmp_path / "changed" / "last.pt")["progress"]
    assert (saved["epoch"], saved["samples"], saved["step"]) == (1, 16, 6)
    run_ranks(zygote, tmp_path, "changed", after, resume=True, **PLAIN)
    assert losses(tmp_path, "changed") == pytest.approx(losses(tmp_path, "whole"), rel=1e-4)


def test_one_bad_rank_stops_both_with_one_message(zygote, tmp_path):
    output = tmp_path / "output"
    assert zygote.run("train", output, 2, out=str(tmp_path / "run"), poison=3) == [2, 2]
    # Both write to one file: what gloo says of the other's end may stand before it in its line.
    errors = re.findall(r"error: .*?may help", output.read_text())
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert errors[0].startswith("error: step 3: the loss is not finite (entropy is nan)")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_damaged_file_of_one_rank_stops_both_with_one_message(zygote, tmp_path, accumulate):
    output, settings = tmp_path / "output", {"accumulate": accumulate, "damaged": [3]}
    assert zygote.run("train", output, 2, out=str(tmp_path / "run"), **settings) == [2, 2]
    errors = re.findall(r"error: image3.png: cannot be read", output.read_text())
    assert len(errors) == 2
    assert "Traceback" not in output.read_text()


def test_weights_that_are_not_finite_stop_both_ranks(zygote, tmp_path):
    output = tmp_path / "output"
    assert zygote.run("train", output, 2, out=str(tmp_path / "run"), steep=4) == [2, 2]
    assert len(re.findall(r"error: step 4: .*? is not finite, though", output.read_text())) == 2


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
def test_no_thread_of_the_process_group_outlives_it(tmp_path):
    """One that did would want Python's lock when there is no Python left, and abort.

    In fresh processes: what these have imported when the group begins decides who holds it.
    """
    job = (
        "from tests.common.training import toy; import sys; "
        "toy.train_and_leave(sys.argv[1], epochs=1)"
    )
    (tmp_path / "job.py").write_text(job)
    ended = ranks.run(tmp_path / "job.py", str(tmp_path / "run"))
    assert [one.returncode for one in ended] == [0, 0], ended
    for rank in (0, 1):
        left = json.loads((tmp_path / "run" / f"threads_{rank}.json").read_text())
        assert not [name for name in left if "gloo" in name]


@pytest.mark.slow
def test_torchrun_saves_on_sigterm_and_resumes(tmp_path):
    """As a cluster does it: the signal goes to torchrun, which passes it on."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tests.common.training.toy", str(tmp_path / "run")),
    ]
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (tmp_path / "run" / "best.pt").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    step = checkpoint.read(tmp_path / "run" / "last.pt")["progress"]["step"]
    assert 4 <= step < 400
    assert losses(tmp_path)[-1] == losses(tmp_path)[step - 1]
    assert subprocess.run([*command, "--resume"], timeout=240).returncode == 0
    assert len(losses(tmp_path)) == 400


def test_only_rank_0_speaks(zygote, tmp_path):
    run_ranks(zygote, tmp_path, "run", 2)
    text = (tmp_path / "output").read_text().splitlines()
    assert len([line for line in text if line.startswith("epoch 0 step 1 ")]) == 1
    assert len(losses(tmp_path)) == 12
