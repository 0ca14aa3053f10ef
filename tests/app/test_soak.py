"""Minutes under load: nothing is lost or mixed, and memory does not grow."""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import httpx
import pytest

from app.settings import MEGABYTE
from tests.app import server
from tests.app.test_limits import header_of_png

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("RES2NET_SOAK_SECONDS", "120"))
KEPT = 40
"""Megabytes of answers that the page keeps here."""
TASKS = ("salient", "segmentation", "detection")


def memory(process):
    """Bytes of a process: now, and at most so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    said = dict(line.split(":", 1) for line in status.splitlines())
    return [1024 * int(said[name].split()[0]) for name in ("VmRSS", "VmHWM")]


@contextlib.contextmanager
def started(runs, *flags):
    """A page in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *(runs / task for task in TASKS), "--port", "0",
         "--device", "cpu", "--limits.kept_megabytes", str(KEPT), *flags],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().split(" ")[4]
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def content(number, side):
    picture = server.photograph(number, height=side + number, width=side)
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


@pytest.mark.slow
def test_fifty_large_pictures_at_once_stay_below_the_bound(runs):
    answered = {}
    with started(runs, "--limits.waiting", "60") as (process, address):

        def ask(number):
            answer = httpx.post(f"{address}/api/all", content=content(number, 900), timeout=600)
            answered[number] = answer.json()["height"]

        ask(0)
        before, _ = memory(process)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        most = memory(process)[1]
    print(f"{before / MEGABYTE:.0f} MB after one picture, at most {most / MEGABYTE:.0f} MB")
    assert answered == {number: 900 + number for number in range(50)}
    assert most < before + (KEPT + 500) * MEGABYTE


@pytest.mark.slow
def test_memory_does_not_grow_and_nothing_is_lost(runs):
    counts, wrong, seen = [], [], []
    with started(runs) as (process, address):
        end = time.monotonic() + SECONDS

        def visit(seed):
            chance, count = random.Random(seed), 0
            with httpx.Client(base_url=address, timeout=300) as client:
                while time.monotonic() < end:
                    number, side = chance.randrange(40), chance.choice((64, 200, 500))
                    answer = client.post("/api/all", content=content(number, side))
                    if not answer.is_success or answer.json()["height"] != side + number:
                        wrong.append(answer.text)
                        continue
                    if client.get(answer.json()["zip"]).status_code not in (200, 400):
                        wrong.append("zip")  # 400: others' answers have made room
                    if client.post("/api/all", content=header_of_png(40_000, 40_000)).is_success:
                        wrong.append("too large")
                    count += 1
            counts.append(count)

        threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            time.sleep(SECONDS / 40)
            seen.append(memory(process)[0])
        for thread in threads:
            thread.join()
        left = list(Path(f"/proc/{process.pid}/cwd").resolve().glob("api*"))
    early, late = max(seen[10:20]), max(seen[30:])
    print(f"{sum(counts)} pictures, {early / MEGABYTE:.0f} MB, later {late / MEGABYTE:.0f} MB")
    assert not wrong and min(counts) > 0 and not left
    assert late < 1.1 * early
