"""What makes an ERes2Net or ERes2NetV2 of the small Res2Net: gates, and fused stages.

Chen et al., Interspeech 2023 (arXiv:2305.12838) and Interspeech 2024 (arXiv:2406.02167). All chunks
of a block are convolved; in the last two stages a gate joins a chunk and the result before it, and
gates fuse the outputs of stages. Parameter names are those of the published checkpoints.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone import Pyramid
from backbone.trunk import PerStage
from tasks.speaker.wespeaker import Blocks, SplitBlock


class Size(NamedTuple):
    """What the blocks of one of these nets have."""

    base_width: int
    """Channels of a chunk at 64 planes."""
    scale: int
    """Number of chunks."""
    expansion: int
    """Channels of the output for each plane."""


class Gate(nn.Module):
    """Two maps joined by weights that both decide: x a + y (2 - a).

    a = 1 + tanh of what two 1x1 convolutions make of both; where it is 1, the two are added.

    Args:
        channels: of either map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.SiLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map (B, C, F, T) and (B, C, F, T) to (B, C, F, T)."""
        lean = self.local_att(torch.cat((x, y), dim=1)).tanh()
        joined: Tensor = x * (1 + lean) + y * (1 - lean)
        return joined


class GatedBlock(SplitBlock):
    """The block of the last two stages: a gate joins each result with the next chunk.

    The arguments are those of `SplitBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        base_width: int = 32,
        scale: int = 2,
        expansion: int = 2,
        passed: int = 0,
    ) -> None:
        super().__init__(in_channels, planes, stride, base_width, scale, expansion, passed)
        joints = len(self.convs) - 1
        self.fuse_models = nn.ModuleList(Gate(self.width) for _ in range(joints))

    def joined(self, place: int, previous: Tensor, chunk: Tensor) -> Tensor:
        """What the convolution at `place` is given: the result before it and its chunk."""
        gated: Tensor = self.fuse_models[place - 1](previous, chunk)
        return gated


def blocks_of(size: Size) -> Blocks:
    """Sums in the first two stages, gates in the last two."""
    added, gated = (
        partial(
            kind,
            base_width=size.base_width,
            scale=size.scale,
            expansion=size.expansion,
            passed=0,
        )
        for kind in (SplitBlock, GatedBlock)
    )
    return added, added, gated, gated


class FusedStages(nn.Module):
    """ERes2Net: each stage's output is fused with what was fused before it, brought to its size.

    Args:
        channels: of the stages' outputs.
        strides: of the four stages.
    """

    def __init__(self, channels: Pyramid[int], strides: PerStage) -> None:
        super().__init__()
        _, c2, c3, c4, c5 = channels
        self.layer1_downsample = smaller(c2, c3, strides[1])
        self.layer2_downsample = smaller(c3, c4, strides[2])
        self.layer3_downsample = smaller(c4, c5, strides[3])
        self.fuse_mode12, self.fuse_mode123, self.fuse_mode1234 = Gate(c3), Gate(c4), Gate(c5)

    def forward(self, plain: Pyramid[Tensor]) -> Pyramid[Tensor]:
        """The pyramid with fused `c3` to `c5`; the stages themselves see none of them."""
        c3 = self.fuse_mode12(plain.c3, self.layer1_downsample(plain.c2))
        c4 = self.fuse_mode123(plain.c4, self.layer2_downsample(c3))
        c5 = self.fuse_mode1234(plain.c5, self.layer3_downsample(c4))
        return Pyramid(plain.c1, plain.c2, c3, c4, c5)


class FusedEnd(nn.Module):
    """ERes2NetV2: the third stage's output, brought to the fourth's size, is fused into it.

    The arguments are those of `FusedStages`.
    """

    def __init__(self, channels: Pyramid[int], strides: PerStage) -> None:
        super().__init__()
        self.layer3_ds = smaller(channels.c4, channels.c5, strides[3])
        self.fuse34 = Gate(channels.c5)

    def forward(self, plain: Pyramid[Tensor]) -> Pyramid[Tensor]:
        """The pyramid with a fused `c5`."""
        return plain._replace(c5=self.fuse34(plain.c5, self.layer3_ds(plain.c4)))


def smaller(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    """The convolution that brings a stage's output to the size of the next one's."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
