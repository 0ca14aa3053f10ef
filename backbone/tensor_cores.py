"""Inference in bf16 on CUDA: whole layers as one kernel and chunks without copies.

A chunk of Res2Net has few channels, so that moving it costs more than computing with it. PyTorch's
operators move it for the sum with the result before, for the convolution, for bias and ReLU, and
for the concatenation. One kernel here does all of that: it writes a chunk's result in its place
within the block's tensor, together with the sum that the next chunk's kernel reads. Around it,
convolution, bias, shortcut and ReLU are one call of cuDNN.

Importing this file needs Triton, which comes with PyTorch for CUDA.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.fused import Convolution
from backbone.fused_blocks import FusedBottle2neck


def use_tensor_cores(model: nn.Module) -> None:
    """Exchange the layers of a deployed model in bf16 for those of this file, in place."""
    for layer in model.modules():
        if type(layer) is FusedBottle2neck and fits(layer):
            layer.__class__ = TensorCoreBottle2neck
            assert isinstance(layer, TensorCoreBottle2neck)
            layer.pack()
        elif type(layer) is Convolution and layer.padding_mode == "zeros":
            layer.__class__ = TensorCoreConvolution


def fits(block: FusedBottle2neck) -> bool:
    """Whether the kernel has this block: several chunks of whole tiles, without groups."""
    first = block.convs[0]
    assert isinstance(first, nn.Conv2d)
    return block.scale > 1 and first.groups == 1 and first.in_channels % 16 == 0


class TensorCoreConvolution(Convolution):
    """Convolution, bias, shortcut and ReLU in one call of cuDNN, where they come together."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to (B, D, H', W'); `shortcut` has the output's shape."""
        if not self.relu or self.bias is None or isinstance(self.padding, str):
            return super().forward(x, shortcut)
        geometry = list(self.stride), list(self.padding), list(self.dilation), self.groups
        x = x.to(self.weight.dtype)
        if shortcut is not None:
            shortcut = shortcut.to(x.dtype)
        found: Tensor = convolution(x, self.weight, self.bias, shortcut, *geometry)
        return found


class TensorCoreBottle2neck(FusedBottle2neck):
    """The block whose hierarchy is this file's kernel; made of a `FusedBottle2neck` in place."""

    weights: Tensor
    biases: Tensor

    def pack(self) -> None:
        """Lay the weights of all 3x3 convolutions out as the kernel reads them."""
        first = self.convs[0]
        assert isinstance(first, nn.Conv2d)
        self.geometry = first.stride[0], first.dilation[0]
        weights = [layer.weight.permute(2, 3, 1, 0) for layer in self.convs]  # type: ignore[operator]
        biases = [layer.bias for layer in self.convs]
        if self.first:
            # The pool of the last chunk is one more convolution: ones where the channel is its own.
            ones = torch.eye(first.in_channels).to(first.weight)
            weights.append(ones.expand(3, 3, -1, -1))
            biases.append(torch.zeros_like(biases[0]))  # type: ignore[arg-type]
        self.register_buffer("weights", torch.stack(weights).contiguous())
        self.register_buffer("biases", torch.stack(biases))  # type: ignore[arg-type]
        self.convs = nn.ModuleList()

    def hierarchy(self, x: Tensor) -> Tensor:
        """Convolve chunk after chunk: (B, width * scale, H, W) to the same channels."""
        found: Tensor = hierarchy(x, self.weights, self.biases, *self.geometry, self.first)
        return found


@torch.library.custom_op("res2net::convolution", mutates_args=())
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    shortcut: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """ReLU of convolution, bias and, if given, shortcut; channels last."""
    x = x.contiguous(memory_format=torch.channels_last)
    geometry = stride, padding, dilation, groups
    if shortcut is None:
        return torch.cudnn_convolution_relu(x, weight, bias, *geometry)
    shortcut = shortcut.contiguous(memory_format=torch.channels_last)
    return torch.cudnn_convolution_add_relu(x, weight, shortcut, 1.0, bias, *geometry)


@convolution.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None, *geometry: Any) -> Tensor:
    return _channels_last(F.conv2d(x, weight, bias, *geometry))


@torch.library.custom_op("res2net::hierarchy", mutates_args=())
def hierarchy(
    x: Tensor, weights: Tensor, biases: Tensor, stride: int, dilation: int, apart: bool
) -> Tensor:
    """All chunks of a block: (B, width * scale, H, W) in and out, channels last.

    Args:
        x: the chunks side by side, after a ReLU.
        weights: (n, 3, 3, width, width), rows being channels of the input: of `scale - 1`
            convolutions, or of `scale`, the last of them ones for the average pool.
        biases: (n, width).
        stride: of each convolution.
        dilation: of each convolution.
        apart: whether chunks stay apart, as in the first block of a stage.
    """
    batch, channels, height, width = x.shape
    chunk = biases.shape[1]
    scale = channels // chunk
    source = x.permute(0, 2, 3, 1).contiguous().view(-1, channels)
    size = (height - 1) // stride + 1, (width - 1) // stride + 1
    result = x.new_empty(batch * size[0] * size[1], channels)
    shapes = (height, width), size
    if apart:
        _launch(source, weights, biases, result, shapes, stride, dilation)
    else:
        given = source
        for index in range(scale - 1):
            last = index == scale - 2
            one = slice(index, index + 1)
            own, following = result[:, index * chunk :], source[:, (index + 1) * chunk :]
            target = result[:, -chunk:] if last else x.new_empty(len(result), chunk)
            after = following, target, not last
            _launch(given, weights[one], biases[one], own, shapes, stride, dilation, after)
            given = target
    return result.view(batch, *size, channels).permute(0, 3, 1, 2)


@hierarchy.register_fake
def _(
    x: Tensor, weights: Tensor, biases: Tensor, stride: int, dilation: int, apart: bool
) -> Tensor:
    batch, channels, height, width = x.shape
    size = (height - 1) // stride + 1, (width - 1) // stride + 1
    return _channels_last(x.new_empty(batch, channels, *size))


def _channels_last(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


def tiles(chunk: int) -> tuple[int, int, int, int, int]:
    """Rows, columns and depth of a tile, warps and stages: the fastest tried on an H100."""
    if chunk <= 32:
        return 64, chunk, chunk, 4, 4
    if chunk <= 64:
        return 128, 64, 32, 4, 3
    return 64, 128, 32, 4, 4


def _launch(
    x: Tensor,
    weights: Tensor,
    biases: Tensor,
    y: Tensor,
    shapes: tuple[tuple[int, int], tuple[int, int]],
    stride: int,
    dilation: int,
    after: tuple[Tensor, Tensor, bool] | None = None,
) -> None:
    """Convolve one chunk, or several side by side.

    `after` is the chunk that comes next, where it goes, and whether the result is added to it.
    """
    groups, chunk = biases.shape
    rows = y.shape[0]
    block_rows, block_columns, depth, warps, stages = tiles(chunk)
    grid = triton.cdiv(rows, block_rows) * triton.cdiv(chunk, block_columns), groups
    following, target, add = after or (x, y, False)
    (height, width), (out_height, out_width) = shapes
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        convolve_chunk[grid](
            x, weights, biases, y, following, target,
            rows, height, width, out_height, out_width,
            x.stride(0), y.stride(0), following.stride(0), target.stride(0),
            CHUNK=chunk, STRIDE=stride, DILATION=dilation, POOLED=groups > 1,
            FOLLOWED=after is not None, ADD=add,
            ROWS=block_rows, COLUMNS=block_columns, DEPTH=depth,
            num_warps=warps, num_stages=stages,
        )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def convolve_chunk(  # type: ignore[no-untyped-def]
    x, weights, biases, y, following, target,
    rows, height, width, out_height, out_width, x_pitch, y_pitch, following_pitch, target_pitch,
    CHUNK: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, POOLED: tl.constexpr,
    FOLLOWED: tl.constexpr, ADD: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One tile of y = relu(conv3x3(x) + bias), and of target = y + following or = following.

    Rows are pixels, of the whole batch one after the other, columns the channels of a chunk; a
    pitch is the number of channels of the tensor that the chunk lies in. The second axis of the
    grid counts chunks that lie side by side; where they are `POOLED`, the last is an average.
    """
    group = tl.program_id(1)
    blocks = (CHUNK + COLUMNS - 1) // COLUMNS
    row = (tl.program_id(0) // blocks) * ROWS + tl.arange(0, ROWS)
    column = (tl.program_id(0) % blocks) * COLUMNS + tl.arange(0, COLUMNS)
    step = tl.arange(0, DEPTH)
    picture = row // (out_height * out_width)
    top = (row // out_width) % out_height * STRIDE
    left = row % out_width * STRIDE
    x += group * CHUNK
    y += group * CHUNK
    weights += group * 9 * CHUNK * CHUNK
    total = tl.full((ROWS, COLUMNS), 0.0, dtype=tl.float32)
    for tap in tl.static_range(9):
        line = top + (tap // 3 - 1) * DILATION
        place = left + (tap % 3 - 1) * DILATION
        inside = (row < rows) & (line >= 0) & (line < height) & (place >= 0) & (place < width)
        pixel = ((picture * height + line) * width + place).to(tl.int64) * x_pitch
        for start in range(0, CHUNK, DEPTH):
            channel = start + step
            given = tl.load(
                x + pixel[:, None] + channel[None, :],
                mask=inside[:, None] & (channel < CHUNK)[None, :],
                other=0.0,
            )
            weight = tl.load(
                weights + (tap * CHUNK + channel)[:, None] * CHUNK + column[None, :],
                mask=(channel < CHUNK)[:, None] & (column < CHUNK)[None, :],
                other=0.0,
            )
            total = tl.dot(given, weight, total)
    if POOLED:
        total *= tl.where(group == tl.num_programs(1) - 1, 1 / 9, 1.0)
    bias = tl.load(biases + group * CHUNK + column, mask=column < CHUNK, other=0.0)
    total = tl.maximum(total + bias.to(tl.float32)[None, :], 0.0).to(y.dtype.element_ty)
    kept = (row < rows)[:, None] & (column < CHUNK)[None, :]
    pixel = row.to(tl.int64)[:, None]
    tl.store(y + pixel * y_pitch + column[None, :], total, mask=kept)
    if FOLLOWED:
        after = tl.load(following + pixel * following_pitch + column[None, :], mask=kept, other=0.0)
        if ADD:
            after = (total.to(tl.float32) + after.to(tl.float32)).to(y.dtype.element_ty)
        tl.store(target + pixel * target_pitch + column[None, :], after, mask=kept)
