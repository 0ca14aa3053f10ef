"""Inference in bf16 on CUDA: whole layers as one kernel and chunks without copies.

A chunk of Res2Net has few channels, so that moving it costs more than computing with it. PyTorch's
operators move it for the sum with the result before, for the convolution, for bias and ReLU, and
for the concatenation. One kernel here does all of that: it writes a chunk's result within the
block's tensor, where the chunk after it was, together with the sum of both, which the next kernel
reads. So the last chunk is never touched. Around it, convolution, bias, shortcut and ReLU are one
call of cuDNN.

Importing this file needs Triton, which comes with PyTorch for CUDA.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.fast.blocks import FusedBottle2neck, HierarchyBlock, standard
from backbone.fast.exchange import exchange
from backbone.fast.layers import Convolution


def use_tensor_cores(model: nn.Module) -> nn.Module:
    """Exchange the layers of a deployed model in bf16 for those of this file.

    Returns:
        The model, in place unless it is such a layer itself.
    """
    blocks = [layer for layer in model.modules() if type(layer) is FusedBottle2neck and fits(layer)]
    model = exchange(model, {block: TensorCoreBottle2neck(block) for block in blocks})
    layers = [layer for layer in model.modules() if type(layer) is Convolution]
    known = [layer for layer in layers if layer.padding_mode == "zeros"]
    return exchange(model, {one: TensorCoreConvolution(one, one.relu) for one in known})


def fits(block: FusedBottle2neck) -> bool:
    """Whether the kernel has this block: several chunks of whole words, without groups."""
    first = block.convs[0]
    assert isinstance(first, nn.Conv2d)
    return block.scale > 1 and first.groups == 1 and first.in_channels % 8 == 0 and standard(block)


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


class TensorCoreBottle2neck(HierarchyBlock):
    """The block whose hierarchy is this file's kernel.

    Args:
        block: one that `fits`; it is left as it is and shares its other layers.
    """

    weights: Tensor
    biases: Tensor

    def __init__(self, block: FusedBottle2neck) -> None:
        super().__init__()
        self.scale, self.apart, self.se = block.scale, block.apart, block.se
        self.conv1 = block.conv1
        self.conv3 = block.conv3 if block.apart else reordered(block.conv3, block.scale)
        self.downsample = block.downsample
        convs = [layer for layer in block.convs if isinstance(layer, Convolution)]
        chunk = convs[0]
        self.geometry = chunk.stride[0], chunk.dilation[0]
        # As the kernel reads them: rows are channels of the input.
        weights = [layer.weight.permute(2, 3, 1, 0) for layer in convs]
        biases = [layer.bias for layer in convs if layer.bias is not None]
        if self.apart:
            # The pool of the last chunk is one more convolution: ones where the channel is its own.
            ones = torch.eye(chunk.in_channels).to(chunk.weight)
            weights.append(ones.expand(3, 3, -1, -1))
            biases.append(torch.zeros_like(biases[0]))
        self.register_buffer("weights", torch.stack(weights).contiguous())
        self.register_buffer("biases", torch.stack(biases))

    def hierarchy(self, x: Tensor) -> Tensor:
        """Convolve chunk after chunk: (B, width * scale, H, W), which may be overwritten.

        Results are in the chunks' order in a stage's first block, and otherwise as `chain_` leaves
        them.
        """
        if not self.apart:
            x = x.contiguous(memory_format=torch.channels_last)
            chain_(x, self.weights, self.biases, self.geometry[1])
            return x
        found: Tensor = apart(x, self.weights, self.biases, *self.geometry)
        return found


def reordered(last: Convolution, scale: int) -> Convolution:
    """The block's last convolution, which takes the chunks in the order that `chain_` leaves."""
    chunks = list(last.weight.chunk(scale, dim=1))
    chunks.insert(0, chunks.pop(-2))
    found = Convolution(last, last.relu)
    weight = torch.cat(chunks, dim=1).contiguous(memory_format=torch.channels_last)
    found.weight = nn.Parameter(weight, requires_grad=False)
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


@torch.library.custom_op("res2net::apart", mutates_args=())
def apart(x: Tensor, weights: Tensor, biases: Tensor, stride: int, dilation: int) -> Tensor:
    """The chunks of a stage's first block: (B, width * scale, H, W) in and out, channels last.

    Args:
        x: the chunks side by side, after a ReLU.
        weights: (scale, 3, 3, width, width), rows being channels of the input; the last are ones
            for the average pool.
        biases: (scale, width).
        stride: of each convolution.
        dilation: of each convolution.
    """
    batch, channels, height, width = x.shape
    source = x.permute(0, 2, 3, 1).contiguous().view(-1, channels)
    size = (height - 1) // stride + 1, (width - 1) // stride + 1
    result = x.new_empty(batch * size[0] * size[1], channels)
    _launch(source, weights, biases, result, ((height, width), size), stride, dilation)
    return result.view(batch, *size, channels).permute(0, 3, 1, 2)


@apart.register_fake
def _(x: Tensor, weights: Tensor, biases: Tensor, stride: int, dilation: int) -> Tensor:
    batch, channels, height, width = x.shape
    size = (height - 1) // stride + 1, (width - 1) // stride + 1
    return _channels_last(x.new_empty(batch, channels, *size))


@torch.library.custom_op("res2net::chain_", mutates_args=("x",))
def chain_(x: Tensor, weights: Tensor, biases: Tensor, dilation: int) -> None:
    """The chunks of any other block, in place: (B, width * scale, H, W), channels last.

    A result takes the place of the next chunk, which nobody reads any more once it is part of a
    sum; the last result that of the first chunk; the last chunk stays where it is.

    Args:
        x: the chunks side by side, after a ReLU.
        weights: (scale - 1, 3, 3, width, width), rows being channels of the input.
        biases: (scale - 1, width).
        dilation: of each convolution.
    """
    size = x.shape[2], x.shape[3]
    count, chunk = biases.shape
    pixels = x.permute(0, 2, 3, 1).view(-1, x.shape[1])
    places = torch.split(pixels, chunk, dim=1)
    given = places[0].clone() if count == 1 else places[0]
    for index in range(count):
        one, last = slice(index, index + 1), index == count - 1
        sum_ = None if last else x.new_empty(len(pixels), chunk)
        place = places[0 if last else index + 1]
        _launch(given, weights[one], biases[one], place, (size, size), 1, dilation, sum_)
        given = given if sum_ is None else sum_


def _channels_last(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


def tiles(chunk: int) -> tuple[int, int, int, int, int]:
    """Rows, columns and depth of a tile, warps and stages: the fastest tried on an H100."""
    if chunk <= 32:
        columns = 16 if chunk <= 16 else 32
        return 64, columns, columns, 4, 4
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
    sum_: Tensor | None = None,
) -> None:
    """Convolve one chunk, or several side by side, from x to y.

    `sum_` becomes the sum of the result and of what was at y before.
    """
    groups, chunk = biases.shape
    rows = y.shape[0]
    block_rows, block_columns, depth, warps, stages = tiles(chunk)
    grid = triton.cdiv(rows, block_rows) * triton.cdiv(chunk, block_columns), groups
    target = y if sum_ is None else sum_
    (height, width), (out_height, out_width) = shapes
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        convolve_chunk[grid](
            x, weights, biases, y, target,
            rows, height, width, out_height, out_width, x.stride(0), y.stride(0), target.stride(0),
            CHUNK=chunk, STRIDE=stride, DILATION=dilation, POOLED=groups > 1, ADD=sum_ is not None,
            ROWS=block_rows, COLUMNS=block_columns, DEPTH=depth,
            num_warps=warps, num_stages=stages,
        )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def convolve_chunk(  # type: ignore[no-untyped-def]
    x, weights, biases, y, target,
    rows, height, width, out_height, out_width, x_pitch, y_pitch, target_pitch,
    CHUNK: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, POOLED: tl.constexpr,
    ADD: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One tile of y = relu(conv3x3(x) + bias), and of target = that + what was at y before.

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
    pool = group == tl.num_programs(1) - 1
    reach = tl.where(pool, 1, DILATION) if POOLED else DILATION  # the pool is never dilated
    total = tl.full((ROWS, COLUMNS), 0.0, dtype=tl.float32)
    for tap in tl.static_range(9):
        line = top + (tap // 3 - 1) * reach
        place = left + (tap % 3 - 1) * reach
        inside = (row < rows) & (line >= 0) & (line < height) & (place >= 0) & (place < width)
        pixel = ((picture * height + line) * width + place).to(tl.int64) * x_pitch
        for start in range(0, CHUNK, DEPTH):
            channel = start + step
            known = channel < CHUNK
            pixels = x + pixel[:, None] + channel[None, :]
            kernel = weights + (tap * CHUNK + channel)[:, None] * CHUNK + column[None, :]
            given = tl.load(pixels, mask=inside[:, None] & known[None, :], other=0.0)
            weight = tl.load(kernel, mask=known[:, None] & (column < CHUNK)[None, :], other=0.0)
            total = tl.dot(given, weight, total)
    if POOLED:
        total *= tl.where(pool, 1 / 9, 1.0)
    bias = tl.load(biases + group * CHUNK + column, mask=column < CHUNK, other=0.0)
    total = tl.maximum(total + bias.to(tl.float32)[None, :], 0.0).to(y.dtype.element_ty)
    kept = (row < rows)[:, None] & (column < CHUNK)[None, :]
    pixel = row.to(tl.int64)[:, None]
    at = y + pixel * y_pitch + column[None, :]
    if ADD:
        before = tl.load(at, mask=kept, other=0.0).to(tl.float32)
        added = (total.to(tl.float32) + before).to(y.dtype.element_ty)
        tl.store(target + pixel * target_pitch + column[None, :], added, mask=kept)
        tl.debug_barrier()  # all threads have read before any writes
    tl.store(at, total, mask=kept)
