"""A process that has torch imported and forks a job in milliseconds, on one or several ranks.

It runs no torch operation itself, so it has no threads that a fork would lose. It reads requests as
JSON lines and answers each with one line.
"""

import gc
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.ranks import free_port

READY = "ready\n"


class Zygote:
    """The caller's side."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.common.training.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[3],
        )
        # Else the first job would seem to take as long as the imports before it.
        assert self.process.stdout.readline() == READY

    def start(self, job: str, output: Path, ranks: int = 1, **arguments) -> list[int]:
        """Fork a job of toy.py; returns the ranks' process ids, the first one leads their group."""
        return self._ask(
            {"job": job, "output": str(output), "ranks": ranks, "arguments": arguments}
        )

    def wait(self, pids: list[int], seconds: float | None = None) -> list[int | None]:
        """Exit statuses, negative if killed by that signal, None if still running after so long."""
        return self._ask({"wait": pids, "seconds": seconds})

    def run(self, job: str, output: Path, ranks: int = 1, **arguments) -> list[int | None]:
        return self.wait(self.start(job, output, ranks, **arguments), 120)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)

    def _ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def _fork(request, rank: int, leader: int, port: int) -> int:
    pid = os.fork()
    if pid:
        os.setpgid(pid, leader or pid)  # here too: the caller may kill the group at once
        return pid
    os.setpgid(0, leader)
    with open(request["output"], "a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["ranks"] > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                       "WORLD_SIZE": str(request["ranks"]), "MASTER_PORT": str(port)}  # fmt: skip
    os._exit(_run(request))


def _run(request) -> int:
    from common.errors import UserError
    from tests.common.training import toy

    status = 0
    try:
        getattr(toy, request["job"])(**request["arguments"])
    except UserError as error:
        print(f"error: {error}")
        status = 2
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _wait(pids: list[int], seconds: float | None) -> list[int | None]:
    deadline = None if seconds is None else time.monotonic() + seconds
    statuses: dict[int, int | None] = dict.fromkeys(pids)
    while None in statuses.values() and (deadline is None or time.monotonic() < deadline):
        for pid in [p for p, status in statuses.items() if status is None]:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                statuses[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return list(statuses.values())


def _serve() -> None:
    import torch._dynamo  # an optimizer imports it, for two seconds, at its first step
    import torch.utils.tensorboard

    import tests.common.training.toy  # noqa: F401 - imported once, for all forks

    torch.set_num_threads(1)
    gc.freeze()  # or each fork's garbage collector would look through it, and so copy it
    print(READY, end="", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = _wait(request["wait"], request["seconds"])
        else:
            port, answer = free_port(), []
            for rank in range(request["ranks"]):
                answer.append(_fork(request, rank, answer[0] if answer else 0, port))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
