"""How to read samples and how to train, whatever the task: the settings that every train has."""

import dataclasses
from typing import Literal

from common.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How samples are read."""

    workers: int = 2
    """Processes that read and augment, on each rank; 0 reads in the main process. Predict reads
    pictures in as many threads."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--loader.workers {self.workers}: must not be negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How to train, whatever the task."""

    epochs: int = 10
    """Passes over the training set."""
    batch_size: int = 32
    """Samples of one optimizer step, over all ranks and micro-batches."""
    accumulate: int = 1
    """Micro-batches of one optimizer step: more of them need less memory."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass in training; weights and evaluation stay in fp32."""
    compile: bool = False
    """Train through torch.compile."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    seed: int = 0
    """Seed of all randomness."""
    ema: float = 0.0
    """Decay of the averaged weights that are then evaluated, such as 0.999; 0 turns them off."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 turns clipping off."""
    sync_batchnorm: bool = False
    """Take BatchNorm statistics over all GPUs."""
    deterministic: bool = False
    """On a GPU, use no kernel whose results vary from run to run: slower, but a run that was
    stopped and resumed ends as one that was not, bit for bit. On the CPU that is always so."""
    channels_last: bool = True
    """Memory layout of 4-D tensors that tensor cores prefer."""
    recompute: tuple[int, ...] = ()
    """Stages of the backbone, such as [1,2], whose activations are not kept but computed again in
    the backward pass: less memory, more time, the same weights."""
    log_every: int = 20
    """Steps between log lines."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0 saves at the ends of epochs only."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""

    def __post_init__(self) -> None:
        """Check ranges; messages name the flag."""
        for name in ("epochs", "batch_size", "accumulate", "log_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"--engine.{name} {getattr(self, name)}: must be at least 1")
        for name in ("seed", "save_every", "clip"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--engine.{name} {getattr(self, name)}: must not be negative")
        if self.seed >= 2**63:
            raise UserError(f"--engine.seed {self.seed}: must be below 2^63")
        if not set(self.recompute) <= {1, 2, 3, 4}:
            raise UserError(f"--engine.recompute {list(self.recompute)}: stages are 1, 2, 3 and 4")
        if self.recompute and self.compile:
            raise UserError("--engine.recompute and --engine.compile: choose one of them")
        if not 0 <= self.ema < 1:
            raise UserError(f"--engine.ema {self.ema}: must be at least 0 and below 1")
