"""The residual blocks of inference: few kernels, few copies, the same numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.blocks import Bottle2neck, Bottleneck, SqueezeExcitation
from backbone.fast.exchange import exchange, hooked, places
from backbone.fast.fold import fold, foldable
from backbone.fast.layers import Convolution, fuse_chains, replace_convolutions, wants_gradients


def fuse_blocks(model: nn.Module, overwrite: bool, pad_to: int) -> nn.Module:
    """Exchange every block of ResNet and Res2Net within a model, or the block that it is.

    Not those with weights that something else has as well.
    """
    successors: dict[nn.Module, nn.Module] = {}
    shared = {part for part, count in places(model).items() if part is not None and count > 1}
    for block in list(model.modules()):
        inner = shared.intersection(block.modules()) - {block}
        if any(next(part.parameters(), None) is not None for part in inner):
            continue
        fused = _fuse_block(block, overwrite, pad_to)
        if fused is not None:
            successors[block] = fused
    return exchange(model, successors)


class FusedBottleneck(nn.Module):
    """The block of ResNet in three convolutions, or four."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.conv1 = folded(block.conv1, block.bn1, relu=True)
        self.conv2 = folded(block.conv2, block.bn2, relu=True)
        self.conv3 = folded(block.conv3, block.bn3, relu=True)
        self.downsample = _fused_shortcut(block.downsample, self.conv3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.conv3(self.conv2(self.conv1(x)), shortcut)
        return result


class HierarchyBlock(nn.Module):
    """What the blocks of Res2Net for inference share: all that is around their `hierarchy`."""

    scale: int
    apart: bool
    se: nn.Module | None
    conv1: Convolution
    conv3: Convolution
    downsample: nn.Module | None

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).

        `shortcut`, of the output's shape, is added instead of the block's own one.
        """
        if shortcut is None:
            shortcut = x if self.downsample is None else self.downsample(x)
        out = self.hierarchy(self.conv1(x))
        if self.se is None:
            result: Tensor = self.conv3(out, shortcut)
            return result
        gated: Tensor = self.se(self.conv3(out))
        return gated.add_(shortcut).relu_()

    def hierarchy(self, x: Tensor) -> Tensor:
        """Convolve chunk after chunk: (B, width * scale, H, W) in and out; x may be overwritten."""
        raise NotImplementedError


class FusedBottle2neck(HierarchyBlock):
    """The block of Res2Net without BatchNorm and with as few copies as the operators allow.

    Args:
        block: gives its weights away.
        overwrite: put each result where its chunk was, so that neither the last chunk is copied nor
            a new tensor is filled; otherwise results are concatenated, which compilers understand
            better.
        pad_to: chunks get channels of zeros up to a multiple of this, or to half of it where that
            is enough.
    """

    def __init__(self, block: Bottle2neck, overwrite: bool, pad_to: int = 1) -> None:
        super().__init__()
        self.scale, self.apart = block.scale, block.apart
        self.overwrite = overwrite and not block.apart
        self.se = block.se if isinstance(block.se, SqueezeExcitation) else None
        if self.se is not None:
            fuse_chains(self.se)
            self.se = replace_convolutions(self.se)
        self.conv1 = folded(block.conv1, block.bn1, relu=True)
        self.convs = nn.ModuleList(
            folded(conv, norm, relu=True)  # type: ignore[arg-type]
            for conv, norm in zip(block.convs, block.bns, strict=True)
        )
        self.pool = block.pool
        self.conv3 = folded(block.conv3, block.bn3, relu=self.se is None)
        self.downsample = _fused_shortcut(block.downsample, self.conv3 if self.se is None else None)
        first = block.convs[0]
        assert isinstance(first, nn.Conv2d)
        if first.groups == 1:
            half = pad_to // 2
            enough = half if first.in_channels <= half else pad_to
            self._pad(-first.in_channels % enough)

    def _pad(self, channels: int) -> None:
        """Widen every chunk by channels that stay zero."""
        if not channels:
            return
        _widen(self.conv1, outputs=channels, chunks=self.scale)
        for conv in self.convs:
            assert isinstance(conv, Convolution)
            _widen(conv, inputs=channels, outputs=channels)
        _widen(self.conv3, inputs=channels, chunks=self.scale)

    def hierarchy(self, x: Tensor) -> Tensor:
        """Convolve chunk after chunk: (B, width * scale, H, W) in and out; x may be overwritten."""
        if self.scale == 1:
            alone: Tensor = self.convs[0](x)
            return alone
        chunks = x.chunk(self.scale, dim=1)
        if self.overwrite and not wants_gradients(x, self.convs[0].weight):  # type: ignore[arg-type]
            self._overwrite(chunks)
            return x
        results: list[Tensor] = []
        for chunk, convolve in zip(chunks, self.convs, strict=False):
            given = chunk if self.apart or not results else chunk + results[-1]
            results.append(convolve(given))
        return torch.cat([*results, self.pool(chunks[-1])], dim=1)

    def _overwrite(self, chunks: Sequence[Tensor]) -> None:
        """Put each chunk's result where the chunk was; the last chunk stays what it is."""
        last: Tensor | None = None
        for chunk, convolve in zip(chunks, self.convs, strict=False):
            # The result before is in its place already, so that its own tensor can take the sum.
            given = chunk if last is None else last.add_(chunk)
            last = convolve(given)
            chunk.copy_(last)


def standard(block: FusedBottle2neck) -> bool:
    """Whether the layers are those of the paper, as a kernel for a whole block takes for granted.

    That is 1x1 convolutions around 3x3 ones of one stride and dilation, which keep the size but for
    the stride, zeros beyond the border, and its average pool; and nobody watches any of them.
    """
    if any(hooked(part) for part in block.modules()):
        return False
    convs = [layer for layer in block.convs if isinstance(layer, nn.Conv2d)]
    (stride, _), (dilation, _) = convs[0].stride, convs[0].dilation
    outer = {_geometry(layer) for layer in (block.conv1, block.conv3)}
    inner = {_geometry(layer) for layer in convs}
    expected = (3, 3), (stride,) * 2, (dilation,) * 2, (dilation,) * 2, convs[0].groups, "zeros"
    return (
        outer == {((1, 1), (1, 1), (0, 0), (1, 1), 1, "zeros")}
        and inner == {expected}
        and (_averages(block.pool, stride) if block.apart else type(block.pool) is nn.Identity)
    )


def _averages(pool: nn.Module, stride: int) -> bool:
    usual = nn.AvgPool2d(3, stride, padding=1)
    return type(pool) is nn.AvgPool2d and all(
        getattr(pool, name) == getattr(usual, name) for name in nn.AvgPool2d.__constants__
    )


def _geometry(layer: nn.Conv2d) -> tuple[Any, ...]:
    size, groups = layer.kernel_size, layer.groups
    return size, layer.stride, layer.padding, layer.dilation, groups, layer.padding_mode


def folded(layer: nn.Conv2d, norm: nn.Module, relu: bool) -> Convolution:
    """One layer of a convolution, its BatchNorm and, if asked for, a ReLU."""
    fold(layer, norm)
    return Convolution(layer, relu)


def _fuse_block(block: nn.Module, overwrite: bool, pad_to: int) -> nn.Module | None:
    """The block for inference; None where it is no plain block of this package."""
    if type(block) not in (Bottleneck, Bottle2neck) or type(block.relu) is not nn.ReLU:
        return None
    if any(hooked(part) for part in block.modules()):
        return None
    if isinstance(block, Bottleneck):
        pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)]
        return FusedBottleneck(block) if all(foldable(*pair) for pair in pairs) else None
    assert isinstance(block, Bottle2neck)
    pairs = [(block.conv1, block.bn1), (block.conv3, block.bn3)]
    pairs += zip(block.convs, block.bns, strict=True)  # type: ignore[arg-type]
    if not all(foldable(*pair) for pair in pairs):
        return None
    return FusedBottle2neck(block, overwrite, pad_to)


def _fused_shortcut(downsample: nn.Module | None, conv3: Convolution | None) -> nn.Module | None:
    """The shortcut in few layers; its bias joins that of `conv3`, to whose result it is added."""
    if downsample is None:
        return None
    fuse_chains(downsample)
    downsample = replace_convolutions(downsample)
    layers = [layer for layer in downsample.modules() if isinstance(layer, Convolution)]
    if conv3 is not None and conv3.bias is not None and len(layers) == 1:
        (layer,) = layers
        if layer.bias is not None and not layer.relu:
            conv3.bias = nn.Parameter(conv3.bias + layer.bias, requires_grad=False)
            layer.bias = None
    return downsample


def _widen(layer: Convolution, inputs: int = 0, outputs: int = 0, chunks: int = 1) -> None:
    """Add channels of zero weight to each of the chunks that a layer takes or gives."""
    assert layer.bias is not None
    after, before, *kernel = layer.weight.shape
    sides = (chunks if outputs else 1), (chunks if inputs else 1)
    weight = layer.weight.view(sides[0], after // sides[0], sides[1], before // sides[1], *kernel)
    weight = F.pad(weight, (0, 0, 0, 0, 0, inputs, 0, 0, 0, outputs))
    layer.out_channels, layer.in_channels = after + outputs * sides[0], before + inputs * sides[1]
    bias = F.pad(layer.bias.view(sides[0], -1), (0, outputs)).flatten()
    layer.weight = nn.Parameter(
        weight.reshape(layer.out_channels, layer.in_channels, *kernel), requires_grad=False
    )
    layer.bias = nn.Parameter(bias, requires_grad=False)
