"""One data set and one trained run of each task, for all tests that only look at them."""

import fcntl
import os
import shutil

import pytest

from tests.tasks import commands
from tests.tasks.rows import ROWS


class Shared:
    """Makes a folder when it is first asked for, once for all processes of a test run.

    What lies in it belongs to all tests: one that changes a run or a data set takes a copy.
    """

    def __init__(self, root):
        self.root = root
        root.mkdir(exist_ok=True)

    def data(self, task):
        """The data set of a task's smallest training."""
        return self._once(f"{task}_data", ROWS[task].data)

    def trained(self, task):
        """A run of two epochs."""
        root, flags = self.data(task), ("--engine.epochs", "2", *ROWS[task].trained)
        return self._once(f"{task}_run", lambda out: commands.train(task, root, out, *flags))

    def _once(self, name, make):
        folder, done = self.root / name, self.root / f"{name}.done"
        with (self.root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in that of the test run
    return Shared(base / "shared")
