"""The worker processes of a loader: how they begin and end, and what is said where they die."""

import contextlib
import importlib.util
import re
import signal
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from common.errors import UserError

Batch = TypeVar("Batch")

# PyTorch's words: a worker that the system killed, a segment of memory that cannot be had, and
# files by which processes share memory.
_LOST = re.compile(
    r"DataLoader worker \(pid|unable to .*(shared memory|/torch_)|Too many open files|torch_shm"
)


@contextlib.contextmanager
def batches(loader: "DataLoader[Any]") -> Iterator[Iterator[Any]]:
    """What a loader gives, for a block at whose end its workers are ended.

    Python tells that a worker died wherever the program is just then. So all work on the batches
    belongs into the block.

    Raises:
        UserError: a worker cannot be started, was killed, or finds no shared memory.
    """
    try:
        found = _start(loader)
        received = _received(found)
        try:
            yield received
        finally:
            # Who keeps the batches keeps the loader no longer, and what its data set refers to.
            received.close()
            _end(found)  # in which a death may be told as well
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1:]
        if not reason or not _LOST.search(reason[0]):
            raise
        raise _way_out(reason[0].removeprefix("RuntimeError: ")) from error


def share(batch: Batch) -> Batch:
    """The batch, with its tensors in shared memory if this process is a loader's worker.

    The queue to the main process would do so in a thread whose errors reach nobody, so that the
    main process would wait for ever; here they are raised.
    """
    if get_worker_info() is not None:
        _share(batch)
    return batch


def prepare_worker(_: int) -> None:
    """Set up a loader's worker process: one thread, and deaf to the signals that stop the run.

    Ctrl-C and a cluster's SIGTERM reach the workers as well, and a run can only save in good order
    while they live. A second SIGTERM ends a worker: so multiprocessing shuts down stragglers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _survive_once)
    torch.set_num_threads(1)
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(0)


def _start(loader: "DataLoader[Any]") -> Iterator[Any]:
    try:
        return iter(loader)
    except OSError as error:  # no process, no semaphore or no pipe is to be had
        raise _way_out(f"cannot be started ({error.strerror})") from error


def _received(found: Iterator[Any]) -> Generator[Any]:
    while True:
        try:
            batch = next(found)
        except StopIteration:
            return
        except (ConnectionResetError, ConnectionRefusedError, EOFError) as error:
            # A batch was on its way, of which the worker's end is heard before its death is.
            raise _way_out("DataLoader worker exited unexpectedly") from error
        yield batch


def _way_out(reason: str) -> UserError:
    return UserError(
        f"--loader.workers: {reason}. Set --loader.workers 0, or give this machine or container "
        "more memory and shared memory, such as docker run --shm-size 8g"
    )


def _share(value: Any) -> None:
    if isinstance(value, Tensor):
        value.share_memory_()  # type: ignore[no-untyped-call]
    elif isinstance(value, dict):
        _share(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            _share(item)


def _end(found: Iterator[Any]) -> None:
    """End the worker processes, if the iterator is of a loader that has some.

    Needed where an error is on its way: its traceback keeps the iterator alive, and Python's end
    would wait for ever for workers that survive the one signal it sends them.
    """
    shut_down = getattr(found, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


def _survive_once(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
