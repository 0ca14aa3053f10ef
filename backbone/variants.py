"""One short function per variant. Names follow the paper: `26w_4s` is four chunks of 26 channels.

Every function takes the same keywords, those of `Variation` (`DLAVariation` for DLA) with the
defaults of `ResNet` and `DLA`; a keyword that is not among them is a TypeError. For other numbers
call `Res2Net` or `resnet` themselves.
"""

from collections.abc import Callable
from functools import partial
from typing import TypedDict, Unpack, cast, get_args

from backbone.blocks import Bottle2neck, Bottleneck, FirstBlock
from backbone.dla import DLA
from backbone.res2net import Res2Net, ResNet, StemKind, Variation
from backbone.trunk import PerStage, Trunk

LAYERS_26 = (2, 2, 2, 2)
HALF_WIDTH = 32
LAYERS_50 = (3, 4, 6, 3)
LAYERS_101 = (3, 4, 23, 3)
LAYERS_152 = (3, 8, 36, 3)
LAYERS_200 = (3, 12, 48, 3)


class DLAVariation(TypedDict, total=False):
    """What the DLA variants let the caller change; explained in `DLA`."""

    in_channels: int
    strides: PerStage
    dilations: PerStage
    dilate_first: bool
    recomputed: tuple[int, ...]


res2net = Res2Net
"""Res2Net of any size, by the name that goes with `resnet`."""


def res2net_v1b(
    depths: PerStage,
    *,
    squeeze_excitation: bool = False,
    first_block: FirstBlock = "pooled",
    **variation: Unpack[Variation],
) -> Res2Net:
    """Res2Net 26w 4s with a deep stem and averaging shortcuts; the blocks are unchanged."""
    return Res2Net(
        depths,
        squeeze_excitation=squeeze_excitation,
        first_block=first_block,
        stem="deep",
        average_shortcut=True,
        **variation,
    )


def resnet(
    depths: PerStage,
    *,
    stem: StemKind = "7x7",
    average_shortcut: bool = False,
    **variation: Unpack[Variation],
) -> ResNet:
    """ResNet of bottleneck blocks, of any depth; the numbers are explained in `ResNet`."""
    return ResNet(Bottleneck, depths, stem=stem, average_shortcut=average_shortcut, **variation)


def res2net26_14w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """26 layers, four narrow chunks: a third of Res2Net-50's cost."""
    return Res2Net(LAYERS_26, base_width=14, scale=4, **variation)


def res2net26_14w_4s_half(**variation: Unpack[Variation]) -> Res2Net:
    """The same with half the channels everywhere: for CPUs, tests and the sample runs."""
    variation.setdefault("width", HALF_WIDTH)
    return Res2Net(LAYERS_26, base_width=14, scale=4, **variation)


def res2net26_26w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """26 layers with the blocks of the default Res2Net-50."""
    return Res2Net(LAYERS_26, base_width=26, scale=4, **variation)


def res2net26_26w_4s_half(**variation: Unpack[Variation]) -> Res2Net:
    """The same with half the channels everywhere: costs what `resnet26_half` costs."""
    variation.setdefault("width", HALF_WIDTH)
    return Res2Net(LAYERS_26, base_width=26, scale=4, **variation)


def res2net50_48w_2s(**variation: Unpack[Variation]) -> Res2Net:
    """Two chunks, at the cost of ResNet-50."""
    return Res2Net(LAYERS_50, base_width=48, scale=2, **variation)


def res2net50_26w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """Four chunks, at the cost of ResNet-50: the paper's default, "Res2Net-50"."""
    return Res2Net(LAYERS_50, base_width=26, scale=4, **variation)


def res2net50_14w_8s(**variation: Unpack[Variation]) -> Res2Net:
    """Eight chunks, at the cost of ResNet-50."""
    return Res2Net(LAYERS_50, base_width=14, scale=8, **variation)


def res2net50_26w_6s(**variation: Unpack[Variation]) -> Res2Net:
    """Six chunks of the default width: half as much again to compute."""
    return Res2Net(LAYERS_50, base_width=26, scale=6, **variation)


def res2net50_26w_8s(**variation: Unpack[Variation]) -> Res2Net:
    """Eight chunks of the default width: twice as much to compute."""
    return Res2Net(LAYERS_50, base_width=26, scale=8, **variation)


def res2net50_18w_6s(**variation: Unpack[Variation]) -> Res2Net:
    """Six chunks, at the cost of ResNet-50; used by the Mask R-CNN tables."""
    return Res2Net(LAYERS_50, base_width=18, scale=6, **variation)


def res2net50_18w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """Four narrow chunks, the paper's light "Res2Net-50-L" (table 3)."""
    return Res2Net(LAYERS_50, base_width=18, scale=4, **variation)


def res2net101_26w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """The default block in 101 layers."""
    return Res2Net(LAYERS_101, base_width=26, scale=4, **variation)


def res2next50(**variation: Unpack[Variation]) -> Res2Net:
    """Four chunks with grouped convolutions, eight groups of four channels: "Res2NeXt-50"."""
    return Res2Net(LAYERS_50, base_width=4, scale=4, cardinality=8, **variation)


def res2net50_v1b(**variation: Unpack[Variation]) -> Res2Net:
    """Res2Net-50 with a deep stem and averaging shortcuts; timm's `res2net50d`."""
    return res2net_v1b(LAYERS_50, **variation)


def res2net101_v1b(**variation: Unpack[Variation]) -> Res2Net:
    """Res2Net-101 with a deep stem and averaging shortcuts; timm's `res2net101d`."""
    return res2net_v1b(LAYERS_101, **variation)


def res2net152_v1b(**variation: Unpack[Variation]) -> Res2Net:
    """Res2Net-152 with a deep stem and averaging shortcuts; its weights were never published."""
    return res2net_v1b(LAYERS_152, **variation)


def res2net200_v1b(**variation: Unpack[Variation]) -> Res2Net:
    """Res2Net-200 with a deep stem and averaging shortcuts; only PaddlePaddle trained one."""
    return res2net_v1b(LAYERS_200, **variation)


def res2net50_v1b_strided(**variation: Unpack[Variation]) -> Res2Net:
    """The same with another rule of the first blocks, that of mmdetection."""
    return res2net_v1b(LAYERS_50, first_block="strided", **variation)


def res2net101_v1b_strided(**variation: Unpack[Variation]) -> Res2Net:
    """The trunk of mmdetection's and FCA-Net's Res2Net-101."""
    return res2net_v1b(LAYERS_101, first_block="strided", **variation)


def res2net101_v1b_unpooled(**variation: Unpack[Variation]) -> Res2Net:
    """The trunk of detectron2's Res2Net-101."""
    return res2net_v1b(LAYERS_101, first_block="unpooled", **variation)


def res2net50_26w_4s_summed(**variation: Unpack[Variation]) -> Res2Net:
    """PaddlePaddle's Res2Net50_26w_4s."""
    return Res2Net(LAYERS_50, base_width=26, scale=4, first_block="summed", **variation)


def res2net50_14w_8s_summed(**variation: Unpack[Variation]) -> Res2Net:
    """PaddlePaddle's Res2Net50_14w_8s."""
    return Res2Net(LAYERS_50, base_width=14, scale=8, first_block="summed", **variation)


def res2net50_v1b_summed(**variation: Unpack[Variation]) -> Res2Net:
    """PaddlePaddle's Res2Net50_vd_26w_4s."""
    return res2net_v1b(LAYERS_50, first_block="summed", **variation)


def res2net101_v1b_summed(**variation: Unpack[Variation]) -> Res2Net:
    """PaddlePaddle's Res2Net101_vd_26w_4s."""
    return res2net_v1b(LAYERS_101, first_block="summed", **variation)


def res2net200_v1b_summed(**variation: Unpack[Variation]) -> Res2Net:
    """PaddlePaddle's Res2Net200_vd_26w_4s, the largest with published weights."""
    return res2net_v1b(LAYERS_200, first_block="summed", **variation)


def se_res2net50_48w_2s(**variation: Unpack[Variation]) -> Res2Net:
    """Squeeze and excitation, two chunks."""
    return Res2Net(LAYERS_50, base_width=48, scale=2, squeeze_excitation=True, **variation)


def se_res2net50_26w_4s(**variation: Unpack[Variation]) -> Res2Net:
    """Squeeze and excitation, four chunks: the paper's "SE-Res2Net-50"."""
    return Res2Net(LAYERS_50, base_width=26, scale=4, squeeze_excitation=True, **variation)


def se_res2net50_14w_8s(**variation: Unpack[Variation]) -> Res2Net:
    """Squeeze and excitation, eight chunks."""
    return Res2Net(LAYERS_50, base_width=14, scale=8, squeeze_excitation=True, **variation)


def se_res2net50_v1b(**variation: Unpack[Variation]) -> Res2Net:
    """Squeeze and excitation, deep stem and averaging shortcuts."""
    return res2net_v1b(LAYERS_50, squeeze_excitation=True, **variation)


def dla60_res2net(**variation: Unpack[DLAVariation]) -> DLA:
    """DLA-60 with Res2Net blocks, four chunks."""
    # A block's planes are half its output channels here, so 28 stands beside the paper's 28w.
    return DLA(partial(Bottle2neck, base_width=28, scale=4), **variation)


def dla60_res2next(**variation: Unpack[DLAVariation]) -> DLA:
    """DLA-60 with Res2NeXt blocks: four chunks, eight groups of four channels."""
    return DLA(partial(Bottle2neck, base_width=4, scale=4, cardinality=8), **variation)


def resnet26(**variation: Unpack[Variation]) -> ResNet:
    """26 layers of plain bottlenecks: what the 26-layer Res2Nets compare with."""
    return resnet(LAYERS_26, **variation)


def resnet26_half(**variation: Unpack[Variation]) -> ResNet:
    """The same with half the channels everywhere, for comparisons on CPUs."""
    variation.setdefault("width", HALF_WIDTH)
    return resnet(LAYERS_26, **variation)


def resnet50(**variation: Unpack[Variation]) -> ResNet:
    """ResNet-50 as in torchvision, the baseline of every published table."""
    return resnet(LAYERS_50, **variation)


def resnet101(**variation: Unpack[Variation]) -> ResNet:
    """ResNet-101 as in torchvision."""
    return resnet(LAYERS_101, **variation)


def first_block_of(name: str) -> FirstBlock:
    """The rule of the first blocks that a name in MODELS ends in; "pooled" where in none."""
    end = name.rpartition("_")[2]
    return cast(FirstBlock, end) if end in get_args(FirstBlock) else "pooled"


def plain_name(name: str) -> str:
    """A name in MODELS without the rule of the first blocks: what shapes alone can tell."""
    return name.removesuffix(f"_{first_block_of(name)}")


def full_name(plain: str, rule: FirstBlock) -> str:
    """The name in MODELS of a net with a rule of the first blocks."""
    return plain if rule == "pooled" else f"{plain}_{rule}"


MODELS: dict[str, Callable[..., Trunk]] = {
    "res2net26_14w_4s_half": res2net26_14w_4s_half,
    "res2net26_14w_4s": res2net26_14w_4s,
    "res2net26_26w_4s_half": res2net26_26w_4s_half,
    "res2net26_26w_4s": res2net26_26w_4s,
    "res2net50_48w_2s": res2net50_48w_2s,
    "res2net50_26w_4s": res2net50_26w_4s,
    "res2net50_14w_8s": res2net50_14w_8s,
    "res2net50_26w_6s": res2net50_26w_6s,
    "res2net50_26w_8s": res2net50_26w_8s,
    "res2net50_18w_6s": res2net50_18w_6s,
    "res2net50_18w_4s": res2net50_18w_4s,
    "res2net101_26w_4s": res2net101_26w_4s,
    "res2next50": res2next50,
    "res2net50_v1b": res2net50_v1b,
    "res2net101_v1b": res2net101_v1b,
    "res2net152_v1b": res2net152_v1b,
    "res2net200_v1b": res2net200_v1b,
    "res2net50_v1b_strided": res2net50_v1b_strided,
    "res2net101_v1b_strided": res2net101_v1b_strided,
    "res2net101_v1b_unpooled": res2net101_v1b_unpooled,
    "res2net50_26w_4s_summed": res2net50_26w_4s_summed,
    "res2net50_14w_8s_summed": res2net50_14w_8s_summed,
    "res2net50_v1b_summed": res2net50_v1b_summed,
    "res2net101_v1b_summed": res2net101_v1b_summed,
    "res2net200_v1b_summed": res2net200_v1b_summed,
    "se_res2net50_48w_2s": se_res2net50_48w_2s,
    "se_res2net50_26w_4s": se_res2net50_26w_4s,
    "se_res2net50_14w_8s": se_res2net50_14w_8s,
    "se_res2net50_v1b": se_res2net50_v1b,
    "dla60_res2net": dla60_res2net,
    "dla60_res2next": dla60_res2next,
    "resnet26_half": resnet26_half,
    "resnet26": resnet26,
    "resnet50": resnet50,
    "resnet101": resnet101,
}
