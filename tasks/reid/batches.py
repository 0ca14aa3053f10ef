"""P x K batches as a pure function of seed and epoch, and the learning rate over such epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.training import optim
from common.training.optim import OptimizerConfig
from tasks.reid.config import Config

# The first words 1 to 3 are those of common.training.sampling.
_PERSONS = 4


@dataclass(frozen=True)
class PersonBatches:
    """Epoch -> order of samples, in which each batch holds P persons with K pictures each.

    Within an epoch every person's pictures come once, K at a time and in random order; the
    incomplete rest is left out. A person of fewer than K pictures has K drawn with repetition.
    Persons are drawn until fewer than P have pictures left (Hermans et al., "In Defense of the
    Triplet Loss", 2017; the sampler of the strong baseline). The K pictures of a person follow
    each other, so that any slice of whole persons can go to a rank.

    A sample is a number: index of the picture + copy * number of pictures. Only repetitions have a
    copy above 0, which lets them be augmented differently.
    """

    labels: NDArray[np.int64]
    """(N,) person of each picture, 0 .. persons - 1."""
    persons: int
    """P"""
    pictures: int
    """K"""
    seed: int

    def steps(self, epochs: int) -> list[int]:
        """Batches of each of so many epochs."""
        batch = self.persons * self.pictures
        return [len(self(epoch)) // batch for epoch in range(epochs)]

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """The samples of an epoch, a multiple of P * K."""
        generator = np.random.default_rng(np.random.SeedSequence([_PERSONS, self.seed, epoch]))
        groups = [self._grouped(members, generator) for members in self._members]
        left = np.array([len(group) for group in groups])
        available = np.arange(len(groups))
        drawn: list[NDArray[np.int64]] = []
        while len(available) >= self.persons:
            chosen = generator.choice(available, self.persons, replace=False)
            left[chosen] -= 1
            drawn += [groups[person][left[person]] for person in chosen]
            available = available[left[available] > 0]
        return np.concatenate(drawn)

    def _grouped(
        self, members: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """One person's samples in rows of K."""
        if len(members) >= self.pictures:
            usable = len(members) // self.pictures * self.pictures
            shuffled: NDArray[np.int64] = generator.permutation(members)
            return shuffled[:usable].reshape(-1, self.pictures)
        drawn = generator.choice(members, self.pictures)
        copies = [int((drawn[:place] == drawn[place]).sum()) for place in range(self.pictures)]
        samples: NDArray[np.int64] = drawn + np.array(copies) * len(self.labels)
        return samples[None]

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        order = np.argsort(self.labels, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.labels))[:-1])


def person_batches(labels: NDArray[np.int64], config: Config, ranks: int) -> PersonBatches:
    """The batches of the config for pictures with these labels (N,), 0 .. persons - 1.

    Raises:
        UserError: a person's pictures would not meet in one micro-batch, or there are fewer
            persons than P.
    """
    batch_size, pictures = config.engine.batch_size, config.data.pictures_per_person
    parts = ranks * config.engine.accumulate
    persons, found = batch_size // pictures, int(labels.max()) + 1
    if batch_size % (parts * pictures):
        raise UserError(
            f"--engine.batch_size {batch_size}: must be a multiple of ranks x --engine.accumulate "
            f"({parts}) x --data.pictures_per_person ({pictures}), so that a person's pictures "
            "meet in one micro-batch"
        )
    if persons < 2 * parts:
        raise UserError(
            f"--engine.batch_size {batch_size}: a micro-batch would hold one person only, and two "
            f"are needed to tell them apart; choose at least {2 * parts * pictures}"
        )
    if found < 2:
        raise UserError("--data.root: the training set has one person only; two or more are needed")
    if found < persons:
        raise UserError(
            f"--engine.batch_size {batch_size}: takes P = {persons} persons with K = {pictures} "
            f"pictures each, the training set has {found}; choose at most {found * pictures}"
        )
    return PersonBatches(labels, persons, pictures, config.engine.seed)


def rates(config: OptimizerConfig, steps: Sequence[int], steady: bool) -> Callable[[int], float]:
    """The factor of the base learning rate at each step, counted from 0.

    P x K epochs differ by a few steps. So the schedule counts in epochs and parts of them, and
    milestones stay at the ends of epochs.

    Args:
        config: the schedule.
        steps: number of steps of each epoch.
        steady: hold the rate through an epoch, at what the schedule gives for the epoch's number,
            counted from 1: so does the published code, which steps its scheduler first.
    """
    ends = np.cumsum(steps)
    fine = 1 if steady else max(steps)
    factor = optim.schedule(config, fine, len(steps) + steady)

    def at(step: int) -> float:
        epoch = min(int(np.searchsorted(ends, step, side="right")), len(steps) - 1)
        if steady:
            return factor(epoch + 1)
        done = step - (int(ends[epoch]) - steps[epoch])
        return factor(epoch * fine + done * fine // steps[epoch])

    return at
