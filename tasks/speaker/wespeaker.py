"""The small Res2Net of WeSpeaker and 3D-Speaker, and the ResNet34 beside it, as trunks.

`eres2net` makes its own of the same parts.

Unlike the shared trunk: a 3x3 stem of stride 1, half the expansion, in Res2Net blocks the stride in
the first 1x1 convolution, no pooled chunk, the same hierarchy in every block, and activations that
are cut at 20. Parameter names are those of their published checkpoints.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from backbone import Pyramid
from backbone.trunk import PerStage, Trunk, running_strides

DEPTHS = (3, 4, 6, 3)


class SplitBlock(nn.Module):
    """1x1 with the stride, a hierarchy of 3x3 convolutions over chunks, 1x1.

    Args:
        in_channels: channels of the input.
        planes: channels of the output before the expansion.
        stride: of the first convolution and of the shortcut.
        base_width: channels of a chunk at 64 planes.
        scale: number of chunks.
        expansion: channels of the output for each plane.
        passed: how many of the last chunks pass as they are: 1, or 0 (ERes2Net).
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        base_width: int = 32,
        scale: int = 2,
        expansion: int = 2,
        passed: int = 1,
    ) -> None:
        super().__init__()
        self.width, self.scale = planes * base_width // 64, scale
        self.out_channels = planes * expansion
        inner, count = self.width * scale, scale - passed
        self.conv1 = nn.Conv2d(in_channels, inner, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.convs = nn.ModuleList(
            nn.Conv2d(self.width, self.width, 3, padding=1, bias=False) for _ in range(count)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(count))
        self.conv3 = nn.Conv2d(inner, self.out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.out_channels)
        self.activation = nn.Hardtanh(0, 20, inplace=True)
        self.shortcut = shortcut(in_channels, self.out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to (B, expansion planes, F / stride, T / stride)."""
        chunks = self.activation(self.bn1(self.conv1(x))).chunk(self.scale, dim=1)
        results: list[Tensor] = []
        for place, (conv, bn) in enumerate(zip(self.convs, self.bns, strict=True)):
            given = chunks[place]
            if results:
                given = self.joined(place, results[-1], given)
            results.append(self.activation(bn(conv(given))))
        # By place: a list of chunks cannot be gone through where calls are only recorded.
        passed = [chunks[place] for place in range(len(results), self.scale)]
        out = self.bn3(self.conv3(torch.cat([*results, *passed], dim=1)))
        result: Tensor = self.activation(out.add_(self.shortcut(x)))
        return result

    def joined(self, place: int, previous: Tensor, chunk: Tensor) -> Tensor:
        """What the convolution at `place` is given: the result before it and its chunk."""
        return chunk + previous


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016, figure 5 left)."""

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.out_channels = planes
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut(in_channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to (B, planes, F / stride, T / stride)."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        result: Tensor = self.relu(out.add_(self.shortcut(x)))
        return result


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Shape the shortcut; empty where the block changes nothing."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


MakeBlock = Callable[[int, int, int], SplitBlock | BasicBlock]
"""Channels of the input, planes and stride to a block."""
Blocks = tuple[MakeBlock, MakeBlock, MakeBlock, MakeBlock]
"""What each of the four stages is made of."""
MakeFusion = Callable[[Pyramid[int], PerStage], nn.Module]
"""Channels and strides of the stages to a module that maps a pyramid to one of these channels."""


class SmallTrunk(Trunk):
    """A 3x3 stem and four stages of blocks.

    Args:
        blocks: what each of the four stages is made of.
        fusion: what joins the stages' outputs; none leaves them as they are.
        in_channels: 1 for spectrograms.
        width: channels of the stem and planes of the first stage: 32 "Base", 64 "Large".
        strides: of the four stages.
        stem_stride: of the stem.
        max_pool: refused: these nets have none.
    """

    def __init__(
        self,
        blocks: Blocks,
        fusion: MakeFusion | None = None,
        *,
        in_channels: int = 1,
        width: int = 32,
        strides: PerStage = (1, 2, 2, 2),
        stem_stride: int = 1,
        max_pool: bool = False,
    ) -> None:
        super().__init__()
        if max_pool:
            raise ValueError("these nets have no max pool")
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, width, 3, stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        taken, channels = width, [width]
        stages: list[nn.Sequential] = []
        for index, (make, depth, stride) in enumerate(zip(blocks, DEPTHS, strides, strict=True)):
            stage = nn.Sequential()
            for number in range(depth):
                block = make(taken, width * 2**index, 1 if number else stride)
                stage.append(block)
                taken = block.out_channels
            stages.append(stage)
            channels.append(taken)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = Pyramid(*channels)
        self.strides = running_strides(stem_stride, 1, strides)
        self.fusion = None if fusion is None else fusion(self.channels, strides)

    def forward(self, x: Tensor) -> Pyramid[Tensor]:
        """Map (B, in_channels, F, T) to the features after the stem and after each stage."""
        c1 = self.relu(self.bn1(self.conv1(x)))
        c2 = self.run_stage(1, self.layer1, c1)
        c3 = self.run_stage(2, self.layer2, c2)
        c4 = self.run_stage(3, self.layer3, c3)
        c5 = self.run_stage(4, self.layer4, c4)
        plain = Pyramid(c1, c2, c3, c4, c5)
        if self.fusion is None:
            return plain
        fused: Pyramid[Tensor] = self.fusion(plain)
        return fused
