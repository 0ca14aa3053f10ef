"""Two ranks of the commands, forked from one process: torch is imported once for both.

Reads a JSON list of runs from its argument, [[module, words], ...]; both ranks run them in turn.
"""

import importlib
import json
import os
import sys

import torch._dynamo  # an optimizer imports it, for two seconds, at its first step
import torch.utils.tensorboard  # noqa: F401 - the log imports it

from tests.ranks import free_port


def main() -> None:
    runs = json.loads(sys.argv[1])
    modules = [importlib.import_module(module) for module, _ in runs]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    os.environ |= shared
    other = os.fork()  # no operation of torch has run: there are no threads to lose
    rank = "0" if other else "1"
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
    for module, (_, words) in zip(modules, runs, strict=True):
        sys.argv = ["command", *words]
        module.main()
    if other:
        _, status = os.waitpid(other, 0)
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
