"""The one training loop of all tasks.

Read it from `Engine.fit` downwards. What makes it exact: all randomness is counted (`sampling`), a
checkpoint is taken between two steps and holds four numbers of progress besides the weights and the
optimizer's state, and evaluation belongs to its epoch. So a run that is killed at any moment and
resumed ends with the weights of one that was not: on the CPU, and with `deterministic` on a GPU,
whose fastest kernels otherwise vary as much between two whole runs.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from common.errors import UserError
from common.training import checkpoint, distributed, loading, log, placement, sampling
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.evaluation import to_device
from common.training.finite import FiniteWatch, require_finite
from common.training.optim import Average
from common.training.sampling import Batches, Counted
from common.training.settings import EngineConfig
from common.training.stop import Stopped, StopRequest
from common.training.task import Progress, Task, TrainData

# What a train command needs, from one place.
__all__ = ["Engine", "EngineConfig", "Progress", "RunDirectory", "Task", "TrainData"]


class Engine:
    """Trains a model, evaluates it, and keeps its checkpoints and its log.

    The model is a bare module on the CPU, and the optimizer holds its parameters. schedule maps a
    step, counted from 0, to the factor of the optimizer's base learning rates.
    """

    def __init__(
        self,
        *,
        config: EngineConfig,
        world: World,
        run: RunDirectory,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        task: Task,
        data: TrainData,
    ) -> None:
        self.config, self.world, self.run = config, world, run
        self.optimizer, self.schedule, self.task, self.data = optimizer, schedule, task, data
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.progress = Progress()
        _check(config, world, self._length(0))
        if world.device.type == "cuda":
            placement.choose_kernels(config.deterministic)
        self.model = placement.place(model, world, config.sync_batchnorm, config.channels_last)
        placement.recompute(self.model, config.recompute)
        # Checkpoints and averages are taken from the bare module, so that no wrapper's prefix can
        # reach a file; `forward` is only ever called.
        self.forward = placement.wrap(self.model, world, config.compile)
        self.average = Average(self.model, config.ema) if config.ema else None
        self.watch = FiniteWatch(world.device)
        self.skipped: list[str] = []
        self.batches: Iterator[Any] = iter(())

    def fit(self, resume: bool) -> Progress:
        """Train to the last epoch, from the run's last checkpoint if `resume`.

        Raises:
            UserError: the run directory, another run in it, a damaged sample, a full disk, workers
                of the loader that died, a loss or weights that are not finite.
            Stopped: SIGTERM or Ctrl-C came; the run is saved.
        """
        self.run.open(resume)
        with self.run.alone(self.world.main) as alone:
            # All ranks learn of it at once; and nobody writes before all have looked.
            if distributed.any_true(not alone, self.world):
                raise UserError(
                    f"--out {self.run.path}: another process is training there; wait for its end, "
                    f"or choose another --out"
                )
            self._train(resume)
        distributed.barrier(self.world)
        return self.progress

    def _train(self, resume: bool) -> None:
        if resume:
            self._restore()
        if self.world.main:
            self.run.write_config()
        with self._open_log() as self.log, StopRequest(self.world.size > 1) as self.stop:
            if not resume:
                self._save()  # a full disk is better found now than after an epoch
            with loading.batches(self._loader()) as self.batches:
                while self.progress.epoch < self.config.epochs:
                    self._train_epoch()
                    self._finish_epoch()

    def _train_epoch(self) -> None:
        """The steps of the epoch that are left, each with its log line and its checkpoint."""
        config, length = self.config, self._length(self.progress.epoch)
        self.forward.train()
        while self.progress.samples < length:
            terms = self._step()
            log_due = self.progress.step % config.log_every == 0
            save_due = config.save_every > 0 and self.progress.step % config.save_every == 0
            stop = self._must_stop(log_due or save_due or self.progress.samples == length)
            if log_due:
                self._log_step(terms)
            if log_due or save_due or stop:
                self._log_skipped()  # before a checkpoint, whose steps are not seen again
            if save_due or stop:
                self._save()
            if stop:
                raise self._stopped()

    def _step(self) -> Tensor:
        """One optimizer step over a global batch; returns this rank's mean loss terms (T,)."""
        config, progress = self.config, self.progress
        factor = self.schedule(progress.step)
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        first = progress.samples // config.batch_size * config.accumulate
        terms = [self._micro_batch(first + index) for index in range(config.accumulate)]
        if config.clip:
            nn.utils.clip_grad_norm_(self.parameters, config.clip)
        self.optimizer.step()
        samples, step = progress.samples + config.batch_size, progress.step + 1
        if self.average is not None:
            self.average.update(self.model, step)
        self.progress = replace(progress, samples=samples, step=step)
        self.log.advance(config.batch_size)
        mean = torch.stack(terms).mean(dim=0)
        self.watch.note(step, mean)
        return mean

    def _micro_batch(self, index: int) -> Tensor:
        """Forward and backward of the epoch's micro-batch `index`; returns the loss terms (T,)."""
        config, progress = self.config, self.progress
        batch = self._next_batch()
        sampling.seed_all(sampling.seed_for(config.seed, progress.epoch, index, self.world.rank))
        # Gradients travel between ranks once a step, with the last micro-batch.
        last = (index + 1) % config.accumulate == 0
        with contextlib.nullcontext() if last else placement.no_sync(self.forward):
            with torch.autocast(
                self.world.device.type, torch.bfloat16, enabled=config.precision == "bf16"
            ):
                named = self.task.loss(self.forward, batch, progress)
            self.watch.name(tuple(named))
            terms = torch.stack([term.float() for term in named.values()])
            (terms.sum() / config.accumulate).backward()  # type: ignore[no-untyped-call]
        return terms.detach()

    def _next_batch(self) -> Any:
        batch = next(self.batches)
        distributed.raise_first(batch if isinstance(batch, UserError) else None, self.world)
        if self.data.on_error == "skip":
            self.skipped += [line for text in batch.pop("skipped") for line in text.splitlines()]
        return to_device(batch, self.world.device, self.config.channels_last)

    def _must_stop(self, look: bool) -> bool:
        """Whether a signal came to any rank; raises if a loss was not finite on any.

        Looking at the loss waits for the GPU, so there it is done when something is due anyway;
        always before a checkpoint.
        """
        bad = (look or self.world.device.type == "cpu") and self.watch.bad()
        if not distributed.any_true(bad or self.stop.requested, self.world):
            return False
        self.watch.raise_first(self.world)
        return True

    def _stopped(self) -> Stopped:
        self.log.say(
            f"stopped by a signal after step {self.progress.step}; saved in {self.run.last}. "
            f"--resume goes on from there"
        )
        return self.stop.stopped()

    def _log_step(self, terms: Tensor) -> None:
        values = distributed.mean(terms, self.world).tolist()
        line = {
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "samples": self.progress.samples,
            "loss": sum(values),
            **dict(zip(self.watch.names, values, strict=True)),
            "learning_rate": max(group["lr"] for group in self.optimizer.param_groups),
        }
        if self.world.device.type == "cuda":
            line["memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
        self.log.step(line)

    def _log_skipped(self) -> None:
        if self.data.on_error == "skip":
            reasons = distributed.gather(self.skipped, self.world)
            self.log.skipped(self.progress.step, self.progress.epoch, reasons)
            self.skipped = []

    def _finish_epoch(self) -> None:
        """Evaluate if it is due, then save: a kill in between repeats the evaluation."""
        self._log_skipped()
        progress = self.progress
        finished = replace(progress, epoch=progress.epoch + 1, samples=0)
        if finished.epoch % self.config.evaluate_every == 0 or finished.epoch == self.config.epochs:
            self._save()  # so that only the evaluation is repeated, not the steps before it
            metrics = self._evaluate()
            self.log.metrics(progress.epoch, progress.step, metrics)
            if self._is_better(metrics[self.task.watch]):
                finished = replace(finished, best=metrics[self.task.watch])
                self._save_best(finished, metrics)
        self.progress = finished
        self._save()
        self.log.restart_clock()

    def _evaluate(self) -> dict[str, float]:
        model = self._evaluated()
        distributed.share_buffers(model, self.world)
        # A task need not draw at random here, but if it does, a resumed run draws the same.
        sampling.seed_all(
            sampling.seed_for(self.config.seed, self.progress.epoch, self.progress.samples)
        )
        model.eval()
        metrics = self.task.evaluate(model)
        if self.task.watch not in metrics:
            raise ValueError(f"the watched metric {self.task.watch} is not among {list(metrics)}")
        return metrics

    def _evaluated(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    def _is_better(self, value: float) -> bool:
        best = self.progress.best
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value > best if self.task.higher_is_better else value < best

    def _save(self) -> None:
        state = self.model.state_dict()
        require_finite(state, self.progress.step, self.world)
        if self.world.main:
            payload = {
                "format": checkpoint.FORMAT,
                "model": state,
                "ema": self.average.module.state_dict() if self.average is not None else None,
                "optimizer": self.optimizer.state_dict(),
                "progress": asdict(self.progress),
                "config": self.run.config_text,
                "samples": len(self.data.dataset),
            }
            checkpoint.save(self.run.last, payload)

    def _save_best(self, progress: Progress, metrics: dict[str, float]) -> None:
        if self.world.main:
            payload = {
                "format": checkpoint.FORMAT,
                "model": self._evaluated().state_dict(),
                "ema": None,
                "progress": asdict(progress),
                "config": self.run.config_text,
                "metrics": metrics,
            }
            checkpoint.save(self.run.best, payload)

    def _restore(self) -> None:
        """Take up the run's last checkpoint."""
        payload = checkpoint.read(self.run.last)
        self.run.require_same(payload, len(self.data.dataset))
        self.model.load_state_dict(payload["model"])
        if self.average is not None:
            self.average.module.load_state_dict(payload["ema"])
        self.optimizer.load_state_dict(payload["optimizer"])
        self.progress = Progress(**payload["progress"])
        if self.world.main:
            log.truncate(self.run.log, self.progress.step, self.progress.epoch)

    def _open_log(self) -> log.Log:
        progress = self.progress
        done = progress.step * self.config.batch_size
        left = sum(self._length(e) for e in range(progress.epoch, self.config.epochs))
        total = done - progress.samples + left
        return log.Log(self.run.log, self.world.main, total, done, progress.step)

    def _order(self, epoch: int) -> Sequence[int] | np.ndarray:
        if self.data.order is not None:
            return self.data.order(epoch)
        return sampling.order(self.config.seed, epoch, len(self.data.dataset))

    def _length(self, epoch: int) -> int:
        """Samples of an epoch that are trained; the rest does not fill a batch."""
        visited = self.data.dataset if self.data.order is None else self.data.order(epoch)
        return sampling.usable(len(visited), self.config.batch_size)

    def _loader(self) -> "DataLoader[Any]":
        """One loader for the whole run, from where the progress stands."""
        batches = Batches(
            order=self._order,
            batch_size=self.config.batch_size,
            epochs=self.config.epochs,
            accumulate=self.config.accumulate,
            rank=self.world.rank,
            ranks=self.world.size,
            epoch=self.progress.epoch,
            samples=self.progress.samples,
        )
        return DataLoader(
            Counted(self.data.dataset, self.config.seed, self.data.on_error),
            batch_sampler=batches,
            num_workers=self.data.workers,
            collate_fn=partial(sampling.collate, stack=self.data.collate),
            pin_memory=self.world.device.type == "cuda",
            worker_init_fn=loading.prepare_worker,
            generator=torch.Generator(),
        )


def _check(config: EngineConfig, world: World, length: int) -> None:
    """Refuse what the ranks, the device or the data set make impossible."""
    parts = world.size * config.accumulate
    if config.batch_size % parts:
        raise UserError(
            f"--engine.batch_size {config.batch_size}: must be a multiple of ranks x "
            f"--engine.accumulate ({world.size} x {config.accumulate} = {parts})"
        )
    if length == 0:
        raise UserError(
            f"--engine.batch_size {config.batch_size}: the training set does not fill one batch; "
            f"choose a smaller one"
        )
    on_cuda = world.device.type == "cuda"
    if config.precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
        raise UserError("--engine.precision bf16: this GPU cannot; use fp32")
