"""Counted randomness: every draw of a run is a pure function of numbers that can be counted.

The order of an epoch depends on (seed, epoch), a sample's augmentation on (seed, epoch, index),
dropout on (seed, epoch, micro-batch, rank). So no random state is ever saved, and neither a restart
nor the number of loader workers changes what a run sees.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, default_collate

from common.errors import DamagedFile, UserError
from common.training import loading

Sample = dict[str, Any]
Key = tuple[int, int]  # (epoch, index into the data set)

# SeedSequence pads with zeros, so [seed, epoch] and [seed, epoch, 0] would be one stream. A first
# word that says what the numbers are for keeps the three uses apart.
_ORDER, _SAMPLE, _STEP = 1, 2, 3


def order(seed: int, epoch: int, length: int) -> np.ndarray:
    """The order in which an epoch visits its samples: a permutation of range(length), int64."""
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(length)


def generator_for(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of all random choices made for one sample in one epoch."""
    return np.random.default_rng(np.random.SeedSequence([_SAMPLE, seed, epoch, index]))


def seed_for(seed: int, epoch: int, index: int, rank: int = 0) -> int:
    """Seed, below 2**32, of the draws made inside the model for micro-batch `index` of an epoch."""
    return int(np.random.SeedSequence([_STEP, seed, epoch, index, rank]).generate_state(1)[0])


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, numpy and random with a number below 2**32."""
    # torch.manual_seed also asks every backend that is not in use, which costs a millisecond.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


class TrainSet(Protocol):
    """Training samples. All randomness of a sample comes from the generator."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def sample(self, index: int, generator: np.random.Generator) -> Sample:
        """One augmented sample.

        Raises:
            DamagedFile: a file of this sample cannot be read.
        """
        ...


class Counted(Dataset[Sample | UserError]):
    """A TrainSet behind keys (epoch, index).

    With on_error "skip", the next sample that can be read takes a damaged one's place, and the
    reason travels in the sample under "skipped" (empty for a sound one). With "stop", the error is
    returned in place of the sample: an exception that crosses a worker's border would arrive as a
    page of traceback. `collate` hands it on, and who reads the batch raises it.
    """

    def __init__(
        self, source: TrainSet, seed: int, on_error: Literal["stop", "skip"] = "stop"
    ) -> None:
        self.source = source
        self.seed = seed
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key) -> Sample | UserError:
        """The sample of (epoch, index), or the error that stops the run."""
        try:
            return self._sound(*key) if self.on_error == "skip" else self._sample(*key, key[1])
        except UserError as error:
            return error

    def _sample(self, epoch: int, key: int, index: int) -> Sample:
        return self.source.sample(index, generator_for(self.seed, epoch, key))

    def _sound(self, epoch: int, key: int) -> Sample:
        reasons: list[str] = []
        length = len(self.source)
        for offset in range(length):
            try:
                sample = self._sample(epoch, key, (key + offset) % length)
            except DamagedFile as error:
                reasons.append(str(error))
            else:
                return {**sample, "skipped": "\n".join(reasons)}
        raise DamagedFile(f"{reasons[0]}; and none of the other {length - 1} samples can be read")


Collate = Callable[[list[Sample]], Sample]
"""Makes a batch of the samples of a task; `default_collate` stacks each of their entries."""


def collate(
    samples: Sequence[Sample | UserError], stack: Collate = default_collate
) -> Sample | UserError:
    """Samples -> the batch that `stack` makes of them, or the first error among them."""
    sound: list[Sample] = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        sound.append(sample)
    return loading.share(stack(sound))


@dataclass(frozen=True)
class Batches(Sampler[list[Key]]):
    """This rank's micro-batches, from a point of the run to its end, as lists of (epoch, index).

    Global batch k of an epoch is order[k * batch_size:(k + 1) * batch_size] on any number of ranks.
    Each rank takes a contiguous slice of it and cuts that into `accumulate` micro-batches. An
    incomplete last batch is dropped. One iterator serves all epochs, so that workers never idle.
    """

    order: Callable[[int], Sequence[int] | np.ndarray]
    """Epoch -> indices into the data set."""
    batch_size: int
    """Samples of one optimizer step over all ranks; a multiple of ranks * accumulate."""
    epochs: int
    accumulate: int = 1
    rank: int = 0
    ranks: int = 1
    epoch: int = 0
    """Epoch to start in."""
    samples: int = 0
    """Samples of that epoch already done, over all ranks: a multiple of batch_size."""

    def __iter__(self) -> Iterator[list[Key]]:
        """Micro-batches in the order in which they are trained."""
        share = self.batch_size // self.ranks
        size = share // self.accumulate
        for epoch in range(self.epoch, self.epochs):
            indices = self.order(epoch)
            done = self.samples if epoch == self.epoch else 0
            for begin in range(done, usable(len(indices), self.batch_size), self.batch_size):
                first = begin + self.rank * share
                for micro in range(first, first + share, size):
                    yield [(epoch, int(index)) for index in indices[micro : micro + size]]


def usable(length: int, batch_size: int) -> int:
    """Samples of an epoch that fill whole batches."""
    return length // batch_size * batch_size
