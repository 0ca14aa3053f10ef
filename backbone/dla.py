"""The DLA-60 trunk with Res2Net or Res2NeXt blocks.

Yu, Wang, Shelhamer, Darrell: "Deep Layer Aggregation", CVPR 2018, arXiv:1707.06484, section 3; its
blocks are exchanged as in table 2 of the Res2Net paper.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.blocks import Bottle2neck
from backbone.trunk import (
    PerStage,
    Pyramid,
    Trunk,
    first_dilations,
    initialise,
    require_stages,
    running_strides,
)

CHANNELS = (16, 32, 128, 256, 512, 1024)


class TreeBlock(Protocol):
    """What makes the blocks of a `DLA`."""

    def __call__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        stride: int,
        dilation: int,
        first: bool,
    ) -> Bottle2neck:
        """Make one residual block; `first` marks the one that opens a stage."""
        ...


class DLA(Trunk):
    """Stem and four stages, each a tree of blocks whose root merges all that grew below it.

    Args:
        block: builds a block: `partial(Bottle2neck, base_width=28, scale=4)`.
        in_channels: 3 for pictures.
        strides: of the four stages, counted as in `ResNet`: 1, 2, 2, 2 lead to strides 4 to 32.
        dilations: of the four stages.
        dilate_first: as in `ResNet`.
        recomputed: as in `ResNet`.

    Differences from the published code, none of which changes what published weights compute at
    the sizes that the published code accepts: three projections that it computes and never uses
    are left out; pools round up, so that odd sizes work; strides can be traded for dilations.
    """

    def __init__(
        self,
        block: TreeBlock,
        *,
        in_channels: int = 3,
        strides: PerStage = (1, 2, 2, 2),
        dilations: PerStage = (1, 1, 1, 1),
        dilate_first: bool = False,
        recomputed: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.recomputed = require_stages(recomputed)
        first = first_dilations(strides, dilations, dilate_first)
        pairs = list(zip(first, dilations, strict=True))
        # There is no max pool after the stem: the first tree itself takes that stride of two.
        self.steps = (2 * strides[0], *strides[1:])
        c0, c1, c2, c3, c4, c5 = CHANNELS
        self.in_channels = in_channels
        self.base_layer = convolution(in_channels, c0, kernel=7, stride=1)
        self.level0 = convolution(c0, c0, kernel=3, stride=1)
        self.level1 = convolution(c0, c1, kernel=3, stride=2)
        self.level2 = Twig(c1, c2, block, stride=self.steps[0], dilations=pairs[0], passed=0)
        self.level3 = Branch(2, c2, c3, block, stride=strides[1], dilations=pairs[1], passed=c2)
        self.level4 = Branch(3, c3, c4, block, stride=strides[2], dilations=pairs[2], passed=c3)
        self.level5 = Twig(c4, c5, block, stride=strides[3], dilations=pairs[3], passed=c4)
        self.channels = Pyramid(*CHANNELS[1:])
        self.strides = running_strides(2, 2, strides)
        initialise(self)

    def forward(self, x: Tensor) -> Pyramid[Tensor]:
        """Map (B, in_channels, H, W) to the features after the stem and after each stage."""
        c1 = self.level1(self.level0(self.base_layer(x)))
        c2 = self.run_stage(1, self.level2, c1, shrink(c1, self.steps[0]), ())
        below = shrink(c2, self.steps[1])
        c3 = self.run_stage(2, self.level3, c2, below, (below,))
        below = shrink(c3, self.steps[2])
        c4 = self.run_stage(3, self.level4, c3, below, (below,))
        below = shrink(c4, self.steps[3])
        c5 = self.run_stage(4, self.level5, c4, below, (below,))
        return Pyramid(c1, c2, c3, c4, c5)


class Twig(nn.Module):
    """The smallest tree: two blocks and the root that merges them.

    Args:
        in_channels: channels of the input.
        out_channels: channels of both blocks and of the output.
        block: builds a block.
        stride: of the first block.
        dilations: of the first and of the second block.
        passed: channels that come to the root from further up.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        block: TreeBlock,
        *,
        stride: int,
        dilations: tuple[int, int],
        passed: int,
    ) -> None:
        super().__init__()
        first, second = dilations
        opens = in_channels != out_channels
        sizes = (out_channels // 2, out_channels)
        self.project = projection(in_channels, out_channels) if opens else nn.Identity()
        self.tree1 = block(in_channels, *sizes, stride=stride, dilation=first, first=opens)
        self.tree2 = block(out_channels, *sizes, stride=1, dilation=second, first=False)
        self.root = Root(2 * out_channels + passed, out_channels)

    def forward(self, x: Tensor, below: Tensor, passed: Sequence[Tensor]) -> Tensor:
        """Grow the two blocks and merge them with what was passed down.

        Args:
            x: (B, in_channels, H, W).
            below: x at the output's resolution (B, in_channels, H / stride, W / stride).
            passed: tensors (B, C_i, H / stride, W / stride) for the root.

        Returns:
            (B, out_channels, H / stride, W / stride).
        """
        left = self.tree1(x, self.project(below))
        right = self.tree2(left)
        merged: Tensor = self.root((right, left, *passed))
        return merged


class Branch(nn.Module):
    """Two trees, one level lower; what the left one yields is passed down to the last root.

    `levels` counts the levels of trees from here to the twigs; the rest is as in `Twig`.
    """

    def __init__(
        self,
        levels: int,
        in_channels: int,
        out_channels: int,
        block: TreeBlock,
        *,
        stride: int,
        dilations: tuple[int, int],
        passed: int,
    ) -> None:
        super().__init__()
        subtree: Callable[..., nn.Module] = Twig if levels == 2 else partial(Branch, levels - 1)
        sizes = (out_channels, out_channels)
        later = (dilations[1], dilations[1])
        passed += out_channels
        self.tree1 = subtree(
            in_channels, out_channels, block, stride=stride, dilations=dilations, passed=0
        )
        self.tree2 = subtree(*sizes, block, stride=1, dilations=later, passed=passed)

    def forward(self, x: Tensor, below: Tensor, passed: Sequence[Tensor]) -> Tensor:
        """Grow the left tree, then the right one on top of it; shapes as in `Twig`."""
        left = self.tree1(x, below, ())
        grown: Tensor = self.tree2(left, left, (*passed, left))
        return grown


class Root(nn.Module):
    """Merges tensors by concatenation, 1x1 convolution, batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Map tensors (B, C_i, H, W) to (B, out_channels, H, W)."""
        merged: Tensor = self.relu(self.bn(self.conv(torch.cat(tuple(branches), dim=1))))
        return merged


def convolution(in_channels: int, out_channels: int, *, kernel: int, stride: int) -> nn.Sequential:
    """Make a convolution with batch norm and ReLU that keeps the size up to its stride."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def projection(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make the 1x1 convolution with batch norm that fits a shortcut's channels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    )


def shrink(x: Tensor, stride: int) -> Tensor:
    """Max-pool (B, C, H, W) by `stride`, rounding sizes up as the strided convolutions do."""
    return x if stride == 1 else F.max_pool2d(x, stride, stride, ceil_mode=True)
