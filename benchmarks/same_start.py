"""Starts commands of a checkout in a hundredth of the time that their imports take.

A server imports the packages that the commands need from elsewhere, and nothing of the project. For
each command it forks a child, which then does what ``python -m MODULE`` does.
"""

import json
import os
import select
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

PATIENCE = 900
"""Seconds after which a command is killed."""

_PACKAGES = (
    "cv2", "jsonargparse", "matplotlib.figure", "onnxscript", "pycocotools.coco", "scipy.stats",
    "segmentation_models_pytorch", "skimage.data", "timm", "torch._dynamo", "torch.onnx",
    "torch.utils.tensorboard", "torchvision",
)  # fmt: skip
"""Those that take long. None may start a thread, which a fork loses: onnxruntime does."""

_SERVER = """
import importlib, json, os, runpy, sys
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for line in sys.stdin:
    module, words, folder, said, errors = json.loads(line)
    pid = os.fork()
    if not pid:
        break
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(folder)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for file, number in ((said, 1), (errors, 2)):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
if "numpy" in sys.modules:
    sys.modules["numpy"].random.seed()  # as in a new process, so that no draw is equal by chance
sys.argv[1:] = words
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def environment(checkout: Path) -> dict[str, str]:
    """What makes Python take the code of a checkout, and torch one thread of the CPU.

    The working directory is not the checkout, so that commands on both sides write the same
    relative paths, and nothing into a checkout.
    """
    code = {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
    return {**os.environ, **code, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class Server:
    """A process that runs one command of a checkout after the other."""

    def __init__(self, checkout: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, json.dumps(_PACKAGES)],
            env=environment(checkout),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout

    def start(
        self, module: str, words: Sequence[str], folder: Path, said: Path, errors: Path
    ) -> int:
        """Start ``python -m module words`` in a folder; returns the id of its process.

        Args:
            module: the command.
            words: its flags.
            folder: the working directory.
            said: file to which its output is added.
            errors: file to which its errors and warnings are added.
        """
        request = [module, list(words), str(folder), str(said), str(errors)]
        self._requests.write(json.dumps(request).encode() + b"\n")
        return int(self._answers.readline())

    def lives(self) -> bool:
        """Whether the command still runs."""
        return not select.select([self._answers], [], [], 0)[0]

    def wait(self, pid: int) -> int:
        """The exit status of the command; negative if a signal killed it."""
        killer = threading.Timer(PATIENCE, os.kill, (pid, SIGKILL))
        killer.start()
        try:
            return int(self._answers.readline())
        finally:
            killer.cancel()

    def close(self) -> None:
        """End the server."""
        self._requests.close()
        self.process.wait()
        self._answers.close()


class Servers:
    """Servers of several checkouts, as many as there are commands at once."""

    def __init__(self) -> None:
        self._idle: dict[Path, list[Server]] = defaultdict(list)

    @contextmanager
    def of(self, checkout: Path) -> Iterator[Server]:
        """A server that is the caller's alone."""
        idle = self._idle[checkout]
        server = idle.pop() if idle else Server(checkout)
        yield server
        idle.append(server)  # not after an error, which may have left it in the midst of a command

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        for idle in self._idle.values():
            for server in idle:
                server.close()
