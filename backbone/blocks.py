"""The residual blocks of ResNet and Res2Net, and the channel gates that these may have."""

from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from backbone.alignment import convolve

REDUCTION = 16  # of channels between the two layers of a gate

FirstBlock = Literal["pooled", "strided", "summed", "unpooled"]
"""How the first block of a stage treats its chunks; explained in `Bottle2neck`.

Weights of all four have the same names and shapes, so that none of them says which it wants.
"""


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
    1. The published code calls it the "stage" type; the weights need it. Other code has other rules
    for this block, which `first_block` names:

        pooled    the official one, also timm's and mmpretrain's
        strided   the last chunk is pooled only where the stride is above 1 (mmdetection, FCA-Net)
        summed    where the stride is 1, a block like the others; else apart, and the pool does not
                  count the zeros beyond the border (PaddlePaddle)
        unpooled  the stride lies in the 1x1 convolution before the chunks, and the last chunk
                  passes as it is (detectron2)

    Args:
        in_channels: channels of the input.
        planes: 64, 128, 256, 512 in the four stages of a net of full width.
        out_channels: channels of the output.
        stride: of every 3x3 convolution and of the pool, or of the 1x1 convolution before them.
        dilation: of every 3x3 convolution. The pool is never dilated.
        downsample: shapes the shortcut; with it, this is the first block of its stage.
        base_width: channels of a chunk at 64 planes ("26w"), for each of the cardinality groups.
        scale: number of chunks ("4s"). One chunk makes a plain bottleneck.
        cardinality: groups of each 3x3 convolution (Res2NeXt).
        squeeze_excitation: reweight the output channels before the shortcut is added.
        first: first block of its stage although it has no `downsample` (DLA).
        first_block: the rule of that block.

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
        first_block: FirstBlock = "pooled",
    ) -> None:
        super().__init__()
        if first_block not in get_args(FirstBlock):
            raise ValueError(
                f"first_block is {first_block!r}; allowed: {', '.join(get_args(FirstBlock))}"
            )
        width = planes * base_width // 64 * cardinality
        if width < 1 or scale < 1:
            raise ValueError(
                f"base_width {base_width} and scale {scale} leave no channel at {planes} planes: "
                "take a larger base_width or a wider net"
            )
        self.scale = scale
        starts = first or downsample is not None
        self.apart = starts and (stride > 1 or first_block != "summed")
        early = starts and first_block == "unpooled"
        before, stride = (stride, 1) if early else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width * scale, 1, before, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, dilation, dilation, groups=cardinality, bias=False)
            for _ in range(max(1, scale - 1))
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in self.convs)
        pools = starts and (stride > 1 or first_block == "pooled")
        counts = first_block != "summed"
        pool = nn.AvgPool2d(3, stride, padding=1, count_include_pad=counts)
        self.pool = pool if pools else nn.Identity()
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
            alone = self.apart or index == 0
            given = chunk.clone() if alone else chunk + results[-1]
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

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel of (B, C, H, W) by a number from 0 to 1."""
        gates: Tensor = self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gates.sigmoid()
