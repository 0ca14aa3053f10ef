"""The small Res2Net of WeSpeaker and 3D-Speaker, and the ResNet34 beside it, as trunks.

Unlike the shared trunk: a 3x3 stem of stride 1, half the expansion, in Res2Net blocks the stride in
the first 1x1 convolution, no pooled chunk, the same hierarchy in every block, and activations that
are cut at 20. Parameter names are those of their published checkpoints.
"""

import torch
from torch import Tensor, nn

from backbone import Pyramid
from backbone.trunk import PerStage, Trunk, running_strides

DEPTHS = (3, 4, 6, 3)


class SplitBlock(nn.Module):
    """1x1 with the stride, a hierarchy of 3x3 convolutions over chunks, 1x1; expansion 2.

    Args:
        in_channels: channels of the input.
        planes: half the channels of the output.
        stride: of the first convolution and of the shortcut.
        base_width: channels of a chunk at 64 planes.
        scale: number of chunks; the last one passes as it is.
    """

    expansion = 2

    def __init__(
        self, in_channels: int, planes: int, stride: int, base_width: int = 32, scale: int = 2
    ) -> None:
        super().__init__()
        width = planes * base_width // 64
        out_channels = planes * self.expansion
        self.scale = scale
        self.conv1 = nn.Conv2d(in_channels, width * scale, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(scale - 1))
        self.conv3 = nn.Conv2d(width * scale, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.activation = nn.Hardtanh(0, 20, inplace=True)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to (B, 2 planes, F / stride, T / stride)."""
        chunks = self.activation(self.bn1(self.conv1(x))).chunk(self.scale, dim=1)
        results: list[Tensor] = []
        for chunk, conv, bn in zip(chunks, self.convs, self.bns, strict=False):
            given = chunk + results[-1] if results else chunk
            results.append(self.activation(bn(conv(given))))
        out = self.bn3(self.conv3(torch.cat([*results, chunks[-1]], dim=1)))
        result: Tensor = self.activation(out.add_(self.shortcut(x)))
        return result


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016, figure 5 left)."""

    expansion = 1

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
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


class SmallTrunk(Trunk):
    """A 3x3 stem and four stages of blocks.

    Args:
        block: what the stages are made of.
        in_channels: 1 for spectrograms.
        width: channels of the stem and planes of the first stage: 32 "Base", 64 "Large".
        strides: of the four stages.
        stem_stride: of the stem.
        max_pool: refused: these nets have none.
    """

    def __init__(
        self,
        block: type[SplitBlock] | type[BasicBlock],
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
        channels = [width]
        stages: list[nn.Sequential] = []
        for index, (depth, stride) in enumerate(zip(DEPTHS, strides, strict=True)):
            planes = width * 2**index
            out_channels = planes * block.expansion
            blocks = [block(channels[-1], planes, stride)]
            blocks += [block(out_channels, planes, 1) for _ in range(1, depth)]
            stages.append(nn.Sequential(*blocks))
            channels.append(out_channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = Pyramid(*channels)
        self.strides = running_strides(stem_stride, 1, strides)

    def forward(self, x: Tensor) -> Pyramid[Tensor]:
        """Map (B, in_channels, F, T) to the features after the stem and after each stage."""
        c1 = self.relu(self.bn1(self.conv1(x)))
        c2 = self.run_stage(1, self.layer1, c1)
        c3 = self.run_stage(2, self.layer2, c2)
        c4 = self.run_stage(3, self.layer3, c3)
        c5 = self.run_stage(4, self.layer4, c4)
        return Pyramid(c1, c2, c3, c4, c5)
