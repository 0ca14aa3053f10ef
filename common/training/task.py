"""The seam between the engine and a task: what each must know of the other, and no more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor, nn
from torch.utils.data import default_collate

from common.training.sampling import Collate, TrainSet


@dataclass(frozen=True)
class Progress:
    """Where a run is. Samples count over all ranks, so that their number may change on resume."""

    epoch: int = 0
    """Epochs that are finished."""
    samples: int = 0
    """Samples of the current epoch that are done."""
    step: int = 0
    """Optimizer steps that are done."""
    best: float | None = None
    """Best value of the watched metric so far."""


class Task(Protocol):
    """What the engine must know of a task."""

    watch: str
    """Name of the metric that chooses best.pt."""
    higher_is_better: bool
    """Whether a higher value of it is better."""

    def loss(self, model: nn.Module, batch: Any, progress: Progress) -> Mapping[str, Tensor]:
        """Named terms of one micro-batch, each a mean over its samples; their sum is minimised.

        Calls the model exactly once, and returns the same names every time.
        """
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores of a model in eval mode; called on all ranks, returns the same on each."""
        ...


@dataclass(frozen=True)
class TrainData:
    """The training samples and the order in which they are visited."""

    dataset: TrainSet
    order: Callable[[int], Sequence[int] | np.ndarray] | None = None
    """Epoch -> indices, a pure function; None shuffles all samples."""
    workers: int = 0
    on_error: Literal["stop", "skip"] = "stop"
    collate: Collate = default_collate
    """Samples -> batch, for samples that do not stack; keeps their texts under "skipped" a list."""
