"""Inference on CPUs with AVX-512 or AVX2: a whole residual block of Res2Net in one pass.

Layer by layer, a block writes each intermediate picture to memory and reads it again, and its
narrow chunks leave a library's kernels idle. The kernel here takes a few lines of the input at a
time and has every convolution of the block follow as far as its windows reach, so that all that
lies between input and result stays in the cache. A 3x3 convolution writes its result in its place
and adds it to the next chunk; the 1x1 convolution of a shortcut is more channels of the last one;
and where nobody else reads a block's input, as within a stage, the result takes its place.

The kernel is C++ (`kernels/one_pass.cpp`); `build` makes a library of it.
"""

import ctypes
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.fast import build
from backbone.fast.blocks import FusedBottle2neck, standard
from backbone.fast.exchange import exchange, hooked
from backbone.fast.layers import Convolution, wants_gradients

ENTRIES = {torch.float32: "res2net_block_fp32", torch.bfloat16: "res2net_block_bf16"}
STEPS = {torch.float32: 1, torch.bfloat16: 2}  # inputs that one instruction multiplies


def use_one_pass(model: nn.Module, *, wait: bool = True) -> nn.Module:
    """Exchange the blocks of a fused model for those of this file.

    Args:
        model: with its layers fused.
        wait: for the kernel to be built. Otherwise the blocks stay as they are until it is, which
            begins in the background and serves the next process; and they keep what gradients need.

    Returns:
        The model, in place unless it is a block itself.

    Raises:
        RuntimeError: the kernel could not be built, and it was waited for.
    """
    blocks = [layer for layer in model.modules() if type(layer) is FusedBottle2neck and fits(layer)]
    if blocks and wait:
        build.library(build.LIBRARY, build.lanes())
    if not blocks or not (wait or build.built_already(build.lanes())):
        return model
    made: dict[nn.Module, nn.Module] = {
        block: OnePassBottle2neck(block, None if wait else block) for block in blocks
    }
    model = exchange(model, made)
    return model if wait else _join(model)  # compilers see by themselves who reads a result


def _join(model: nn.Module) -> nn.Module:
    """Exchange the sequences of such blocks for stages."""
    stages = [
        stage
        for stage in model.modules()
        if type(stage) is nn.Sequential
        and any(isinstance(block, OnePassBottle2neck) for block in stage)
    ]
    return exchange(model, {s: OnePassStage(OrderedDict(s.named_children())) for s in stages})


class OnePassStage(nn.Sequential):
    """A sequence of blocks, whose results take each other's place unless a hook sees them."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to the last block's result."""
        ours = False  # whether nobody but the next block reads x
        for block in self:
            kind = isinstance(block, OnePassBottle2neck)
            x = block(x, overwrite=True) if ours and kind and not hooked(block) else block(x)
            ours = kind and not hooked(block)
        return x


def fits(block: FusedBottle2neck) -> bool:
    """Whether the kernel has this block: several chunks, no groups, no gates, whole steps."""
    first = block.convs[0]
    assert isinstance(first, Convolution)
    if block.scale == 1 or first.groups != 1 or block.se is not None or not standard(block):
        return False
    dtype = first.weight.dtype
    if dtype not in STEPS or not build.supported(dtype):
        return False
    return not any(layer.in_channels % STEPS[dtype] for layer in (first, block.conv1))


class OnePassBottle2neck(nn.Module):
    """The block as one call of this file's kernel.

    Args:
        block: one that `fits`; it is left as it is.
        plain: the same, to be called where gradients are wanted, which the kernel has not.
    """

    weights0: Tensor
    weights1: Tensor
    weights2: Tensor
    biases0: Tensor
    biases1: Tensor
    biases2: Tensor

    def __init__(self, block: FusedBottle2neck, plain: FusedBottle2neck | None = None) -> None:
        super().__init__()
        self.plain = plain
        convs = [layer for layer in block.convs if isinstance(layer, Convolution)]
        chunk, last = convs[0], block.conv3
        self.before, joined = split_shortcut(block.downsample)
        self.downsample = block.downsample if joined is None else None
        self.geometry = [
            last.out_channels, block.scale, chunk.in_channels, chunk.stride[0], chunk.dilation[0],
            int(block.apart), 0 if joined is None else joined.stride[0],
        ]  # fmt: skip
        outer = last.weight if joined is None else torch.cat([last.weight, joined.weight], dim=1)
        groups = [
            [packed(block.conv1.weight, block.conv1.bias, build.lanes())],
            [packed(layer.weight, layer.bias, build.lanes()) for layer in convs],
            [packed(outer, last.bias, build.lanes())],
        ]
        for index, parts in enumerate(groups):
            self.register_buffer(f"weights{index}", torch.cat([weight for weight, _ in parts]))
            self.register_buffer(f"biases{index}", torch.cat([bias for _, bias in parts]))

    def forward(
        self, x: Tensor, shortcut: Tensor | None = None, *, overwrite: bool = False
    ) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).

        `shortcut`, of the output's shape, is added instead of the block's own one. `overwrite` lets
        the result take the place of x where both have one shape.

        Raises:
            ValueError: a shortcut is given to a block that makes its own.
        """
        if shortcut is not None and self.before is not None:
            raise ValueError("shortcut: this block makes its own, which is one with its last layer")
        if self.plain is not None and wants_gradients(x):
            wanted: Tensor = self.plain(x, shortcut)
            return wanted
        weights = [self.weights0, self.weights1, self.weights2]
        biases = [self.biases0, self.biases1, self.biases2]
        beside = None if self.before is None else self.before(x)
        if shortcut is None and self.downsample is not None:
            shortcut = self.downsample(x)
        if shortcut is None and beside is None:
            result = x.to(self.weights0.dtype)
            if not overwrite:  # compilers leave this copy out by themselves
                result = result.clone(memory_format=torch.channels_last)
            in_place = _one_pass_ if _is_plain(x) else one_pass_
            in_place(result, weights, biases, self.geometry)
            return result
        call = _one_pass if _is_plain(x) else one_pass
        found: Tensor = call(x, shortcut, beside, weights, biases, self.geometry)
        return found


def _is_plain(x: Tensor) -> bool:
    """Whether no compiler and no profiler looks: an operator's first call imports the compiler."""
    watched = torch.compiler.is_compiling() or torch._C._autograd._profiler_enabled()
    return type(x) is Tensor and not watched


def split_shortcut(downsample: nn.Module | None) -> tuple[nn.Module | None, Convolution | None]:
    """What a shortcut does before its 1x1 convolution, and that; Nones where it is none such."""
    if not isinstance(downsample, nn.Sequential):
        return None, None
    layers = [one for one in downsample.children() if not isinstance(one, nn.Identity)]
    last = layers.pop() if layers else None
    if not isinstance(last, Convolution) or last.bias is not None or last.relu:
        return None, None
    if last.kernel_size != (1, 1) or last.padding != (0, 0) or last.groups != 1:
        return None, None
    return nn.Sequential(*layers), last


def packed(weight: Tensor, bias: Tensor | None, width: int) -> tuple[Tensor, Tensor]:
    """Weights (outputs / width, taps, inputs / step, width, step) in a row, and biases in fp32.

    Outputs are filled up to whole vectors with zeros.
    """
    assert bias is not None
    step, fill = STEPS[weight.dtype], -len(weight) % width
    weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, fill))
    outputs, inputs, *taps = weight.shape
    weight = weight.reshape(outputs // width, width, inputs // step, step, taps[0] * taps[1])
    return weight.permute(0, 4, 2, 1, 3).flatten(), F.pad(bias.float(), (0, fill))


def _one_pass(
    x: Tensor,
    shortcut: Tensor | None,
    beside: Tensor | None,
    weights: list[Tensor],
    biases: list[Tensor],
    geometry: list[int],
) -> Tensor:
    """A whole block: (B, C, H, W) to (B, D, H / stride, W / stride), channels last.

    Args:
        x: the block's input.
        shortcut: what is added to its result before the last ReLU, or None.
        beside: what the shortcut's 1x1 convolution reads, or None.
        weights: of the first, of all 3x3 and of the last convolution, as `packed` gives them. The
            last has the channels of `beside` behind its own.
        biases: likewise, in fp32.
        geometry: outputs, scale, chunk, stride, dilation, whether chunks stay apart (1 or 0), and
            the stride over `beside`.
    """
    result = _result(x, weights, geometry)
    _run(x, shortcut, beside, result, weights, biases, geometry)
    return result


one_pass = torch.library.custom_op(
    "res2net::one_pass", _one_pass, mutates_args=(), device_types="cpu"
)
"""The same as an operator, for compilers."""


@one_pass.register_fake
def _(
    x: Tensor, _: Any, __: Any, weights: list[Tensor], ___: list[Tensor], geometry: list[int]
) -> Tensor:
    return _result(x, weights, geometry)


def _result(x: Tensor, weights: list[Tensor], geometry: list[int]) -> Tensor:
    outputs, stride = geometry[0], geometry[3]
    size = (x.shape[2] - 1) // stride + 1, (x.shape[3] - 1) // stride + 1
    shape = x.shape[0], outputs, *size
    return torch.empty(shape, dtype=weights[0].dtype, memory_format=torch.channels_last)


def _one_pass_(x: Tensor, weights: list[Tensor], biases: list[Tensor], geometry: list[int]) -> None:
    """A whole block that has no stride and adds its input, which the result replaces."""
    _run(x, x, None, x, weights, biases, geometry)


one_pass_ = torch.library.custom_op(
    "res2net::one_pass_", _one_pass_, mutates_args=("x",), device_types="cpu"
)
"""Likewise."""


def _run(
    x: Tensor, shortcut: Tensor | None, beside: Tensor | None, result: Tensor,
    weights: list[Tensor], biases: list[Tensor], geometry: list[int],
) -> None:  # fmt: skip
    dtype = result.dtype
    tensors = [
        one if one is None else one.to(dtype).contiguous(memory_format=torch.channels_last)
        for one in (x, shortcut, beside, result)
    ]
    batch, channels, height, width = x.shape
    outputs, scale, chunk, stride, dilation, apart, joined_stride = geometry
    joined = 0 if beside is None else beside.shape[1]
    numbers = (
        batch, height, width, channels, outputs, scale, chunk, stride, dilation, apart,
        joined, joined_stride, torch.get_num_threads(),
    )  # fmt: skip
    pointers = [None if one is None else one.data_ptr() for one in tensors]
    getattr(build.library(build.LIBRARY, build.lanes()), ENTRIES[dtype])(
        (ctypes.c_void_p * 4)(*pointers),
        (ctypes.c_void_p * 3)(*(one.data_ptr() for one in weights)),
        (ctypes.c_void_p * 3)(*(one.data_ptr() for one in biases)),
        (ctypes.c_int64 * len(numbers))(*numbers),
    )
