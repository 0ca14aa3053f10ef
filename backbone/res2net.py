"""Res2Net and ResNet trunks: architecture and nothing else.

Gao, Cheng, Zhao, Zhang, Yang, Torr: "Res2Net: A New Multi-scale Backbone Architecture", TPAMI 2021,
arXiv:1904.01169. Parameter names are those of the published checkpoints, so that these load without
a mapping table.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, Protocol, TypedDict, Unpack

from torch import Tensor, nn

from backbone.blocks import Bottle2neck, FirstBlock
from backbone.trunk import (
    Dilations,
    PerStage,
    Pyramid,
    Trunk,
    block_dilations,
    initialise,
    require_stages,
    running_strides,
)

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


class Variation(TypedDict, total=False):
    """What every variant lets the caller change; explained in `ResNet`."""

    in_channels: int
    width: int
    strides: PerStage
    dilations: Dilations
    dilate_first: bool
    average_dilated: bool
    stem_stride: int
    max_pool: bool
    ceil_mode: bool
    recomputed: tuple[int, ...]


class ResNet(Trunk):
    """Stem and four stages of residual blocks: with `Bottleneck` the nets of He et al.

    `Res2Net` is the same of `Bottle2neck` blocks.

    Args:
        block: builds a block: `Bottleneck`.
        depths: blocks in each stage; (3, 4, 6, 3) makes 50 layers.
        in_channels: 3 for pictures, 1 for spectrograms.
        width: channels of the stem and planes of the first stage; 64 in every published net.
        strides: of the four stages. (1, 2, 2, 1) keeps the last stage at the third's resolution.
        dilations: of the four stages. Strides (1, 2, 1, 1) with dilations (1, 1, 2, 4) make an
            output stride of 8. A stage may have one for each of its blocks: (1, 1, 1, (2, 4, 8)).
        dilate_first: which dilation the first block of a stage has. False: the previous stage's,
            the rule of torchvision and timm, which keeps what the weights were trained to see.
            True: its own stage's, the rule of PoolNet.
        average_dilated: an averaging shortcut whose stride was traded for dilation still averages
            2x2, as timm's. False: it averages by its stride alone (InSPyReNet, UACANet, FCA-Net).
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
        dilations: Dilations = (1, 1, 1, 1),
        dilate_first: bool = False,
        average_dilated: bool = True,
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
        for index, each in enumerate(block_dilations(strides, dilations, depths, dilate_first)):
            stride, planes = strides[index], width * 2**index
            downsample = shortcut(
                channels[-1],
                planes * EXPANSION,
                stride,
                average_dilated and dilations[index] not in (1, (1,) * len(each)),
                average_shortcut,
            )
            stages.append(stage(block, channels[-1], planes, stride, each, downsample))
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


class Res2Net(ResNet):
    """Stem and four stages of `Bottle2neck` blocks: Res2Net, Res2NeXt, SE-Res2Net.

    Args:
        depths: blocks in each stage.
        base_width: as in `Bottle2neck`.
        scale: as in `Bottle2neck`.
        cardinality: as in `Bottle2neck`.
        squeeze_excitation: as in `Bottle2neck`.
        first_block: as in `Bottle2neck`.
        stem: as in `ResNet`; "deep" in v1b.
        average_shortcut: as in `ResNet`; true in v1b.
        variation: the other options of `ResNet`.
    """

    def __init__(
        self,
        depths: PerStage,
        *,
        base_width: int = 26,
        scale: int = 4,
        cardinality: int = 1,
        squeeze_excitation: bool = False,
        first_block: FirstBlock = "pooled",
        stem: StemKind = "7x7",
        average_shortcut: bool = False,
        **variation: Unpack[Variation],
    ) -> None:
        self.first_block = first_block
        block = partial(
            Bottle2neck,
            base_width=base_width,
            scale=scale,
            cardinality=cardinality,
            squeeze_excitation=squeeze_excitation,
            first_block=first_block,
        )
        super().__init__(block, depths, stem=stem, average_shortcut=average_shortcut, **variation)


def stage(
    block: Block,
    in_channels: int,
    planes: int,
    stride: int,
    dilations: Sequence[int],
    downsample: nn.Module,
) -> nn.Sequential:
    """Chain blocks, one for each of the dilations; the first has the stride and the shortcut."""
    out_channels = planes * EXPANSION
    first, *others = dilations
    blocks = [
        block(
            in_channels, planes, out_channels, stride=stride, dilation=first, downsample=downsample
        )
    ]
    blocks += [
        block(out_channels, planes, out_channels, stride=1, dilation=dilation, downsample=None)
        for dilation in others
    ]
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
    in_channels: int, out_channels: int, stride: int, dilated: bool, average: bool
) -> nn.Sequential:
    """Shape the shortcut of a stage's first block: (B, C, H, W) to the block's output shape.

    `dilated`: where the stride is 1, it was traded for dilation.
    """
    if not average:
        convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
    pool: nn.Module = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    if stride == 1 and dilated:
        # Still average 2x2, as in training; the zeros beyond the right and lower border count, as
        # they do in timm.
        pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride=1))
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(pool, convolution, nn.BatchNorm2d(out_channels))
