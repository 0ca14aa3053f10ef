"""The one inference loop: sharded over ranks without padding, every sample counted once."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate
from tqdm import tqdm

from common.errors import UserError
from common.training import distributed, loading
from common.training.distributed import World
from common.training.sampling import Collate


class EvaluationSet(Protocol):
    """Samples by index; None stands for one that could not be read and is to be left out."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """One sample: numbers, strings, numpy arrays or tensors by name."""
        ...


def infer(
    dataset: EvaluationSet,
    step: Callable[[Any], Sequence[Any]],
    *,
    batch_size: int,
    workers: int,
    world: World,
    title: str,
    collate: Collate = default_collate,
) -> list[Any]:
    """Run `step` on every sample once; rank 0 gets all results in data set order, the others [].

    `step` maps a collated batch on world.device to one result a sample, on the CPU. Samples that
    are None are left out, and their number is printed under `title`. `collate` makes a batch of
    samples that do not stack.

    Raises:
        UserError: the data set raised it for a sample of any rank, or a worker of the loader died;
            then all ranks raise it.
    """
    length = len(dataset)
    shard = range(length * world.rank // world.size, length * (world.rank + 1) // world.size)
    loader = DataLoader(
        Subset(_Guarded(dataset), shard),
        batch_size=batch_size,
        num_workers=min(workers, len(shard)),
        collate_fn=partial(_batch, collate=collate),
        pin_memory=world.device.type == "cuda",
        worker_init_fn=loading.prepare_worker,
        generator=torch.Generator(),
    )
    results: list[Any] = []
    failure: UserError | None = None
    try:
        with (
            loading.batches(loader) as batches,
            torch.inference_mode(),
            _bar(len(shard), title, world) as bar,
        ):
            for batch in batches:
                results += _checked(step, batch, world)
                bar.update(batch.read + batch.dropped)
    except UserError as error:
        failure = error
    distributed.raise_first(failure, world)
    results = distributed.gather(results, world)
    if world.main and len(results) < length:
        left_out = length - len(results)
        print(f"{title}: {left_out} of {length} samples could not be read and were left out")
    return results


def to_device(value: Any, device: torch.device, channels_last: bool = False) -> Any:
    """A nested batch with its tensors on the device, 4-D ones in channels_last layout if asked."""
    if isinstance(value, Tensor):
        if channels_last and value.ndim == 4:
            return value.to(device, non_blocking=True, memory_format=torch.channels_last)
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: to_device(item, device, channels_last) for key, item in value.items()}
    if isinstance(value, list):
        return [to_device(item, device, channels_last) for item in value]
    return value


class _Guarded(Dataset[Any]):
    """Returns a UserError instead of raising it: a worker would wrap it in a page of traceback."""

    def __init__(self, source: EvaluationSet) -> None:
        self.source = source

    def __getitem__(self, index: int) -> dict[str, Any] | UserError | None:
        try:
            return self.source[index]
        except UserError as error:
            return error


class _Batch(NamedTuple):
    content: Any  # collated samples; None when not one of them could be read
    error: UserError | None
    read: int
    dropped: int


def _batch(samples: list[dict[str, Any] | UserError | None], collate: Collate) -> _Batch:
    errors = [sample for sample in samples if isinstance(sample, UserError)]
    sound = [sample for sample in samples if isinstance(sample, dict)]
    content = loading.share(collate(sound)) if sound and not errors else None
    return _Batch(content, next(iter(errors), None), len(sound), len(samples) - len(sound))


def _checked(step: Callable[[Any], Sequence[Any]], batch: _Batch, world: World) -> list[Any]:
    if batch.error is not None:
        raise batch.error
    if batch.content is None:
        return []
    results = list(step(to_device(batch.content, world.device)))
    if len(results) != batch.read:
        raise ValueError(f"step returned {len(results)} results for {batch.read} samples")
    return results


def _bar(total: int, title: str, world: World) -> "tqdm[Any]":
    hidden = not (world.main and sys.stderr.isatty())
    bar: tqdm[Any] = tqdm(total=total, desc=title, unit="sample", leave=False, disable=hidden)
    return bar
