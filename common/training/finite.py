"""Finds the first step whose loss is not finite, and weights that are not, before they are saved.

The loss is watched without waiting for the GPU at each step. It may be finite where its gradient is
not (that of a square root at zero): then the weights show it, which are looked at when they are
about to be saved.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from common.errors import UserError
from common.training import distributed
from common.training.distributed import World


class FiniteWatch:
    """Remembers, on the device, the first step with a loss term that is not finite."""

    def __init__(self, device: torch.device) -> None:
        self.names: tuple[str, ...] = ()
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        self._terms: Tensor | None = None

    def name(self, names: tuple[str, ...]) -> None:
        """Learn the names of the loss terms; they must be the same every time."""
        if self.names and names != self.names:
            raise ValueError(f"the loss terms changed from {self.names} to {names}")
        self.names = names

    def note(self, step: int, terms: Tensor) -> None:
        """Look at the loss terms (T,) of a step, counted from 1."""
        first = ~torch.isfinite(terms).all() & (self._step == 0)
        self._terms = terms if self._terms is None else torch.where(first, terms, self._terms)
        self._step = torch.where(first, step, self._step)

    def bad(self) -> bool:
        """Whether this rank saw such a step; waits for the device."""
        return bool(self._step.item())

    def raise_first(self, world: World) -> None:
        """On every rank, raise the error of the first bad step of any; return if there is none.

        Raises:
            UserError: names the step and the terms.
        """
        own = []
        if self.bad() and self._terms is not None:
            values = zip(self.names, self._terms.tolist(), strict=True)
            own = [(int(self._step), [f"{n} is {v}" for n, v in values if not math.isfinite(v)])]
        reports = distributed.share(distributed.gather(own, world), world)
        if reports:
            step, terms = min(reports)
            raise UserError(
                f"step {step}: the loss is not finite ({', '.join(terms)}). The last checkpoint is "
                f"from before; a new --out with a lower --optimizer.learning_rate, a warm-up or "
                f"--engine.clip may help"
            )


def first_bad(state: Mapping[str, Any]) -> str | None:
    """The first tensor of a state that has a number which is not finite; None if there is none."""
    tensors = {
        key: value
        for key, value in state.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    if not tensors:
        return None
    # One list at the end, so that a GPU is waited for once.
    finite = torch.stack([torch.isfinite(value).all() for value in tensors.values()]).tolist()
    return next((key for key, good in zip(tensors, finite, strict=True) if not good), None)


def require_finite(state: Mapping[str, Any], step: int, world: World) -> None:
    """On every rank, refuse to go on if the state to be saved is not finite on any.

    Raises:
        UserError: names the step and the tensor.
    """
    own = first_bad(state)
    reports = distributed.share(distributed.gather([own] if own else [], world), world)
    if reports and step == 0:
        raise UserError(
            f"{reports[0]} is not finite before the first step: the weights that --weights or "
            f"--finetune names are of a failed run"
        )
    if reports:
        raise UserError(
            f"step {step}: {reports[0]} is not finite, though the loss was. The last checkpoint is "
            f"from before; a new --out with a lower --optimizer.learning_rate may help, or a loss "
            f"whose gradient is finite everywhere"
        )
