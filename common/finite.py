"""Finds the first step whose loss is not finite, without waiting for the GPU at each step."""

import math

import torch
from torch import Tensor

from common import distributed
from common.distributed import World
from common.errors import UserError


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
