"""Res2Net and ResNet trunks: architecture and nothing else.

Gao, Cheng, Zhao, Zhang, Yang, Torr: "Res2Net: A New Multi-scale Backbone Architecture", TPAMI 2021,
arXiv:1904.01169. Parameter names are those of the published checkpoints, so that these load without
a mapping table.
"""

from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from backbone.alignment import convolve
from backbone.trunk import (
    PerStage,
    Pyramid,
    Trunk,
    first_dilations,
    initialise,
    require_stages,
    running_strides,
)

__all__ = ["Block", "Bottle2neck", "Bottleneck", "Pyramid", "ResNet", "StemKind"]

StemKind = Literal["7x7", "3x3", "deep"]
EXPANSION = 4


class Block(Protocol):
    """What makes the blocks of a `ResNet`."""

    def __call__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        stride: int,
        dilation: int,
        downsample: nn.Module | None,
    ) -> nn.Module:
        """Make one residual block; `downsample` is given to the first block of a stage only."""
        ...


class Bottleneck(nn.Module):
    """The block of ResNet: 1x1, 3x3, 1x1 and a shortcut (He et al., CVPR 2016, figure 5 right).

    The stride sits in the 3x3 convolution, as in torchvision.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        result: Tensor = self.relu(out.add_(shortcut))
        return result


class Bottle2neck(nn.Module):
    """The block of Res2Net: a hierarchy of small convolutions for the 3x3 one (paper, figure 2).

    A 1x1 convolution makes `scale` chunks of equal width. Each chunk but one passes a 3x3
    convolution of its own, after the previous chunk's result was added (paper, equation 1):

        y[0] = K[0](x[0]);   y[i] = K[i](x[i] + y[i - 1]);   y[scale - 1] = x[scale - 1]

    so that one block sees receptive fields of 1x1, 3x3, 5x5, ... side by side. Equation 1 leaves
    the first chunk untouched, the published weights leave the last: the same up to a permutation
    of channels, and the weights decide.

    The first block of a stage changes the resolution or the channels, and there the chunks stay
    apart: y[i] = K[i](x[i]), and the last chunk is average-pooled by the stride, also where that is
    1. The published code calls it the "stage" type; the weights need it.

    Args:
        in_channels: channels of the input.
        planes: 64, 128, 256, 512 in the four stages of a net of full width.
        out_channels: channels of the output.
        stride: of every 3x3 convolution and of the pool.
        dilation: of every 3x3 convolution. The pool is never dilated.
        downsample: shapes the shortcut; with it, this is the first block of its stage.
        base_width: channels of a chunk at 64 planes ("26w"), for each of the cardinality groups.
        scale: number of chunks ("4s"). One chunk makes a plain bottleneck.
        cardinality: groups of each 3x3 convolution (Res2NeXt).
        squeeze_excitation: reweight the output channels before the shortcut is added.
        first: first block of its stage although it has no `downsample` (DLA).

    Raises:
        ValueError: `base_width` is so small that a chunk has no channel left.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        base_width: int = 26,
        scale: int = 4,
        cardinality: int = 1,
        squeeze_excitation: bool = False,
        first: bool = False,
    ) -> None:
        super().__init__()
        width = planes * base_width // 64 * cardinality
        if width < 1 or scale < 1:
            raise ValueError(
                f"base_width {base_width} and scale {scale} leave no channel at {planes} planes: "
                "take a larger base_width or a wider net"
            )
        self.scale = scale
        self.first = first or downsample is not None
        self.conv1 = nn.Conv2d(in_channels, width * scale, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, dilation, dilation, groups=cardinality, bias=False)
            for _ in range(max(1, scale - 1))
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in self.convs)
        self.pool = nn.AvgPool2d(3, stride, padding=1) if self.first else nn.Identity()
        self.conv3 = nn.Conv2d(width * scale, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se = SqueezeExcitation(out_channels) if squeeze_excitation else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).

        `shortcut`, of the output's shape, is added instead of the block's own one.
        """
        if shortcut is None:
            shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.hierarchy(out)
        out = self.se(self.bn3(self.conv3(out)))
        result: Tensor = self.relu(out.add_(shortcut))
        return result

    def hierarchy(self, x: Tensor) -> Tensor:
        """Convolve chunk after chunk (paper, section 3.1): (B, width * scale, H, W) in and out."""
        if self.scale == 1:
            return self._convolve(0, x)
        chunks = x.chunk(self.scale, dim=1)
        results: list[Tensor] = []
        for index, chunk in enumerate(chunks[: len(self.convs)]):
            # Kernels want dense inputs. Left to itself, a convolution copies a chunk in the forward
            # pass and once more in the backward pass.
            apart = self.first or index == 0
            given = chunk.clone() if apart else chunk + results[-1]
            results.append(self._convolve(index, given))
        return torch.cat([*results, self.pool(chunks[-1])], dim=1)

    def _convolve(self, index: int, x: Tensor) -> Tensor:
        layer = cast(nn.Conv2d, self.convs[index])
        result: Tensor = self.relu(self.bns[index](convolve(layer, x)))
        return result


class SqueezeExcitation(nn.Module):
    """Channel gates from the global average (Hu et al., CVPR 2018; Res2Net paper, section 3.3).

    No SE-Res2Net weights were ever published. The names `se.fc1` and `se.fc2`, both 1x1
    convolutions with bias, are those which timm gives this block, so that its files load too.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(1, channels // reduction), 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(max(1, channels // reduction), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel of (B, C, H, W) by a number from 0 to 1."""
        gates: Tensor = self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gates.sigmoid()


class ResNet(Trunk):
    """Stem and four stages of residual blocks: ResNet or Res2Net, as the block decides.

    Args:
        block: builds a block: `Bottleneck`, or `partial(Bottle2neck, base_width=26, scale=4)`.
        depths: blocks in each stage; (3, 4, 6, 3) makes 50 layers.
        in_channels: 3 for pictures, 1 for spectrograms.
        width: channels of the stem and planes of the first stage; 64 in every published net.
        strides: of the four stages. (1, 2, 2, 1) keeps the last stage at the third's resolution.
        dilations: of the four stages. Strides (1, 2, 1, 1) with dilations (1, 1, 2, 4) make an
            output stride of 8.
        dilate_first: which dilation the first block of a stage has. False: the previous stage's,
            the rule of torchvision and timm, which keeps what the weights were trained to see.
            True: its own stage's, the rule of PoolNet.
        stem: "7x7"; "deep", three 3x3 convolutions (v1b); or "3x3".
        stem_stride: stride of the stem's first convolution.
        max_pool: whether a 3x3 max pool of stride 2 follows the stem.
        ceil_mode: that pool rounds its output size up (PoolNet).
        average_shortcut: the shortcut averages before a 1x1 convolution of stride 1 (v1b), instead
            of striding the convolution, which would ignore three pixels of four.
        recomputed: stages, 1 to 4, that need less memory and more time in training (`Trunk`).

    Weights start from He's normal distribution by fan-out, batch norms as the identity. The last
    batch norm of a block does NOT start at zero: neither do the published nets, and an untrained
    trunk whose blocks are all silent would hide mistakes from every test.
    """

    def __init__(
        self,
        block: Block,
        depths: PerStage,
        *,
        in_channels: int = 3,
        width: int = 64,
        strides: PerStage = (1, 2, 2, 2),
        dilations: PerStage = (1, 1, 1, 1),
        dilate_first: bool = False,
        stem: StemKind = "7x7",
        stem_stride: int = 2,
        max_pool: bool = True,
        ceil_mode: bool = False,
        average_shortcut: bool = False,
        recomputed: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.in_channels, self.recomputed = in_channels, require_stages(recomputed)
        self.conv1 = stem_convolution(stem, in_channels, width, stem_stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=ceil_mode)
        self.maxpool = pool if max_pool else nn.Identity()

        stages: list[nn.Sequential] = []
        channels = [width]
        for index, first in enumerate(first_dilations(strides, dilations, dilate_first)):
            stages.append(
                stage(
                    block,
                    channels[-1],
                    width * 2**index,
                    depths[index],
                    stride=strides[index],
                    dilations=(first, dilations[index]),
                    average_shortcut=average_shortcut,
                )
            )
            channels.append(width * 2**index * EXPANSION)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = Pyramid(*channels)
        self.strides = running_strides(stem_stride, 2 if max_pool else 1, strides)
        initialise(self)

    def forward(self, x: Tensor) -> Pyramid[Tensor]:
        """Map (B, in_channels, H, W) to the features after the stem and after each stage."""
        c1 = self.relu(self.bn1(self.conv1(x)))
        c2 = self.run_stage(1, self.layer1, self.maxpool(c1))
        c3 = self.run_stage(2, self.layer2, c2)
        c4 = self.run_stage(3, self.layer3, c3)
        c5 = self.run_stage(4, self.layer4, c4)
        return Pyramid(c1, c2, c3, c4, c5)


def stage(
    block: Block,
    in_channels: int,
    planes: int,
    depth: int,
    *,
    stride: int,
    dilations: tuple[int, int],
    average_shortcut: bool,
) -> nn.Sequential:
    """Chain `depth` blocks; `dilations` are the first block's and that of the others."""
    first, dilation = dilations
    out_channels = planes * EXPANSION
    downsample = shortcut(in_channels, out_channels, stride, dilation, average_shortcut)
    blocks = [
        block(
            in_channels, planes, out_channels, stride=stride, dilation=first, downsample=downsample
        )
    ]
    for _ in range(1, depth):
        blocks.append(
            block(out_channels, planes, out_channels, stride=1, dilation=dilation, downsample=None)
        )
    return nn.Sequential(*blocks)


def stem_convolution(stem: StemKind, in_channels: int, width: int, stride: int) -> nn.Module:
    """Make `conv1`: one convolution, or v1b's three (ResNet-C of He et al., arXiv:1812.01187)."""
    if stem == "7x7":
        return nn.Conv2d(in_channels, width, 7, stride, padding=3, bias=False)
    if stem == "3x3":
        return nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
    if stem != "deep":
        raise ValueError(f"stem is {stem!r}; allowed: 7x7, 3x3, deep")
    half = width // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, half, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        nn.Conv2d(half, width, 3, padding=1, bias=False),
    )


def shortcut(
    in_channels: int, out_channels: int, stride: int, dilation: int, average: bool
) -> nn.Sequential:
    """Shape the shortcut of a stage's first block: (B, C, H, W) to the block's output shape."""
    if not average:
        convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
    pool: nn.Module = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    if stride == 1 and dilation > 1:
        # The stride was traded for dilation. Still average 2x2, as in training; the zeros beyond
        # the right and lower border count, as they do in timm.
        pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride=1))
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(pool, convolution, nn.BatchNorm2d(out_channels))
