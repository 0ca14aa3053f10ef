"""Runs of all tasks, once for all tests of the page."""

import fcntl
import os

import pytest

from tests.app import server


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in that of the test run
    folder = base / "page_runs"
    with (base / "page_runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            server.write_runs(folder)
    return folder
