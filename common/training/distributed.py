"""The processes of one run: who am I, and the few collectives that a run needs.

Started alone, a command is a world of one process and nothing here communicates. Started by
torchrun, it reads its place from the environment (RANK, WORLD_SIZE, LOCAL_RANK).
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from common.errors import UserError

T = TypeVar("T")

# Scoring a whole validation set on rank 0 keeps the other ranks waiting for minutes.
_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """This process among all processes of the run; by default alone on the CPU."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """True in the one process that writes files and speaks."""
        return self.rank == 0


def start(device: str = "auto") -> World:
    """Join the run's process group and choose this process's device: auto, cpu or cuda.

    Raises:
        UserError: cuda was asked for and there is none, or there are more processes than GPUs.
    """
    rank = int(os.environ.get("RANK", "0"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device, local_rank)
    if size > 1:
        # Flags and gathered results travel through gloo, so that they never wait for the GPU.
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        _import_defaults()
        dist.init_process_group(backend, timeout=_TIMEOUT)
    return World(rank, size, local_rank, chosen)


@contextmanager
def started(device: str = "auto") -> Iterator[World]:
    """Start, and stop whatever happens."""
    world = start(device)
    try:
        yield world
    finally:
        stop()


def _import_defaults() -> None:
    """Import a module of torch whose functions have the process group for a default argument.

    torch.compile and wrapped models import it. Imported before there is a group it has none to
    hold; imported later it holds one to the end of the process, whose threads then die at any
    moment, with "terminate called without an active exception".
    """
    import torch.distributed.nn.functional  # noqa: F401


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of a process: auto, cpu or cuda.

    Raises:
        UserError: cuda was asked for and there is none, or there are more processes than GPUs.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"--engine.device {name}: allowed are auto, cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--engine.device cuda: this machine has no usable CUDA GPU; use auto or cpu"
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"torchrun --nproc-per-node starts more processes than this machine has GPUs "
            f"({torch.cuda.device_count()}); start one process per GPU"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def stop() -> None:
    """Leave the process group, if there is one, and end its threads."""
    if dist.is_initialized():
        dist.destroy_process_group()


def note(line: str) -> None:
    """Say a line on stderr, in the main process alone."""
    if os.environ.get("RANK", "0") == "0":
        print(line, file=sys.stderr, flush=True)


def gather(items: list[T], world: World) -> list[T]:
    """All ranks' items on rank 0, in the order of the ranks; an empty list elsewhere."""
    if world.size == 1:
        return list(items)
    parts: list[Any] | None = [None] * world.size if world.main else None
    dist.gather_object(items, parts, dst=0)
    return [item for part in parts or [] for item in part]


def share(value: T, world: World) -> T:
    """Rank 0's value on every rank."""
    if world.size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def from_main(compute: Callable[[], T], world: World) -> T:
    """What rank 0 computes, on every rank; where it is a mistake of the user, every rank says so.

    Raises:
        UserError: rank 0 raised it.
    """
    outcome: T | UserError | None = None
    if world.main:
        try:
            outcome = compute()
        except UserError as error:
            outcome = error
    found: Any = share(outcome, world)
    if isinstance(found, UserError):
        raise found
    return found  # type: ignore[no-any-return]


def raise_first(error: UserError | None, world: World) -> None:
    """Raise on every rank the error that the first of them has; nothing where none has one.

    A rank that ended alone would leave the others to report that they lost it.
    """
    if any_true(error is not None, world):
        raise share(gather([error] if error is not None else [], world), world)[0]


def any_true(flag: bool, world: World) -> bool:
    """True on every rank when the flag is true on at least one."""
    if world.size == 1:
        return flag
    shared = torch.tensor(int(flag))
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared.item())


def mean(values: Tensor, world: World) -> Tensor:
    """Average of a tensor over the ranks, the same on every rank."""
    if world.size == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world.size


def share_buffers(module: nn.Module, world: World) -> None:
    """Give every rank rank 0's buffers: each rank's BatchNorm has seen other samples."""
    if world.size > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def barrier(world: World) -> None:
    """Wait until every rank is here."""
    any_true(False, world)
