"""A model on its device, and the wrappers through which it is trained."""

import contextlib
import os
from typing import cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from common.errors import UserError
from common.training.distributed import World


def place(model: nn.Module, world: World, sync_batchnorm: bool, channels_last: bool) -> nn.Module:
    """The bare module on its device; its parameters stay the objects that the optimizer holds.

    Raises:
        UserError: synchronised BatchNorm was asked for on the CPU.
    """
    if sync_batchnorm and world.device.type != "cuda":
        raise UserError("--engine.sync_batchnorm: works on CUDA only; leave it out on the CPU")
    if sync_batchnorm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    model = model.to(world.device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model


def choose_kernels(deterministic: bool) -> None:
    """Let CUDA's libraries take their fastest kernels, or only those that repeat their results."""
    torch.backends.cudnn.benchmark = not deterministic  # shapes do not change within a run
    if deterministic:
        from torch._inductor import config as inductor  # takes a second, hence only where needed

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.deterministic = True
        inductor.deterministic = True
        # An operator that has no such kernel warns and is named.
        torch.use_deterministic_algorithms(True, warn_only=True)


def recompute(model: nn.Module, stages: tuple[int, ...]) -> None:
    """Tell the model's backbone which stages to compute again in the backward pass.

    Raises:
        UserError: it has no backbone that can.
    """
    if not stages:
        return
    trunk = getattr(model, "backbone", None)
    if not hasattr(trunk, "recomputed"):
        raise UserError("--engine.recompute: this model's backbone cannot; leave it out")
    setattr(trunk, "recomputed", stages)  # noqa: B010  # the attribute of a module of any kind


def wrap(model: nn.Module, world: World, compiled: bool) -> nn.Module:
    """The module that is called in training: compiled if asked, gradients averaged over ranks."""
    forward = cast(nn.Module, torch.compile(model)) if compiled else model
    if world.size == 1:
        return forward
    devices = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(forward, device_ids=devices)


def no_sync(forward: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Keep the gradients of a backward pass on their rank; more micro-batches will follow."""
    if isinstance(forward, DistributedDataParallel):
        return forward.no_sync()
    return contextlib.nullcontext()
