"""What all trunks share: the pyramid of features, the rules of strides and dilations, the start."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from backbone.blocks import FirstBlock

T = TypeVar("T")
PerStage = tuple[int, int, int, int]
Dilations = tuple[
    int | tuple[int, ...], int | tuple[int, ...], int | tuple[int, ...], int | tuple[int, ...]
]
"""Of the four stages: one number for all blocks of a stage, or one for each of them."""
Context = contextlib.AbstractContextManager[None]


class Pyramid(NamedTuple, Generic[T]):
    """One value for the stem (`c1`) and one for each of the four stages (`c2` to `c5`)."""

    c1: T
    c2: T
    c3: T
    c4: T
    c5: T


class Trunk(nn.Module):
    """What every backbone here is: a picture in, a pyramid of features out, no classifier.

    Calling it maps (B, in_channels, H, W) to a Pyramid of (B, channels, H / stride, W / stride),
    rounded up. `channels` and `strides` say what comes out, so that a head is built from numbers.
    """

    in_channels: int
    channels: Pyramid[int]
    strides: Pyramid[int]
    first_block: FirstBlock = "pooled"
    """Rule of the first block of each stage (`Bottle2neck`), which weights do not show."""
    recomputed: tuple[int, ...] = ()
    """Stages, 1 to 4, whose inner activations are not kept for the backward pass but computed
    again in it (Chen et al., arXiv:1604.06174): less memory, more time, the same numbers."""

    def run_stage(self, number: int, stage: nn.Module, *inputs: Any) -> Tensor:
        """Call a stage, keeping what is inside of it or not."""
        if number not in self.recomputed or not torch.is_grad_enabled():
            kept: Tensor = stage(*inputs)
            return kept

        def contexts() -> tuple[Context, Context]:
            return contextlib.nullcontext(), _without_statistics(stage)

        again: Tensor = checkpoint(
            stage, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
        )
        return again

    if TYPE_CHECKING:  # nn.Module says Any here

        def __call__(self, x: Tensor) -> Pyramid[Tensor]:
            """Run `forward`."""
            ...


@contextlib.contextmanager
def _without_statistics(stage: nn.Module) -> Iterator[None]:
    """Let BatchNorm count each batch once, although a stage sees it twice."""
    norms = [part for part in stage.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    before = [None if count is None else count.clone() for count in counts]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count, kept in zip(norms, momenta, counts, before, strict=True):
            norm.momentum = momentum
            if count is not None and kept is not None:
                count.copy_(kept)


def require_stages(recomputed: tuple[int, ...]) -> tuple[int, ...]:
    """Give back the stages to compute again, after checking what the caller asked for."""
    if not set(recomputed) <= {1, 2, 3, 4}:
        raise ValueError(f"recomputed is {recomputed}; needed: stages from 1 to 4")
    return recomputed


def first_dilations(strides: PerStage, dilations: PerStage, dilate_first: bool) -> PerStage:
    """Give the dilation of each stage's first block, after checking what the caller asked for."""
    for name, values in (("strides", strides), ("dilations", dilations)):
        if len(values) != 4 or min(values) < 1:
            raise ValueError(f"{name} are {tuple(values)}; needed: four whole numbers from 1 on")
    if dilate_first:
        return dilations
    return (1, dilations[0], dilations[1], dilations[2])


def block_dilations(
    strides: PerStage, dilations: Dilations, depths: PerStage, dilate_first: bool
) -> list[list[int]]:
    """Give the dilation of every block of each stage, after checking what the caller asked for.

    Numbers for single blocks count as they are, from the first block on.
    """
    last = [value if isinstance(value, int) else value[-1] for value in dilations if value]
    firsts = first_dilations(strides, cast(PerStage, tuple(last)), dilate_first)
    each: list[list[int]] = []
    for given, first, depth in zip(dilations, firsts, depths, strict=True):
        blocks = [first, *[given] * (depth - 1)] if isinstance(given, int) else list(given)
        if len(blocks) != depth or min(blocks) < 1:
            raise ValueError(
                f"dilations are {tuple(dilations)}; needed: for each stage a whole number from 1 "
                f"on, or one for each of its blocks ({depth} here)"
            )
        each.append(blocks)
    return each


def running_strides(stem: int, pool: int, stages: PerStage) -> Pyramid[int]:
    """Multiply up the strides of stem, pool and stages: input pixels per feature."""
    c2 = stem * pool * stages[0]
    c3 = c2 * stages[1]
    c4 = c3 * stages[2]
    return Pyramid(stem, c2, c3, c4, c4 * stages[3])


def initialise(trunk: nn.Module) -> None:
    """Draw every convolution from He's normal distribution by fan-out; biases are zero.

    A trunk without data ("meta" device) stays as it is: to draw nothing takes longer than the rest.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
