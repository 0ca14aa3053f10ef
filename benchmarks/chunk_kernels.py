"""Kernels for a chunk's convolution on a GPU: python -m benchmarks.chunk_kernels.

Each stage of Res2Net-50 26w 4s at 224, bf16: relu(conv3x3(chunk) + bias) to where the next chunk
was, and the sum of both to a tensor of its own, as `backbone.fast.cuda.chain_` does it. Timed by
CUDA's events, by turns, the caches full of something else as between two layers:

- pixels: the kernel in use with its own and with other tiles. A tile of pixels is loaded anew for
  every one of the nine taps.
- lines: a candidate that is not in use. A tile walks down the lines and is loaded for the three
  taps of a line only, because three results grow at a time: for the line above, this one and the
  one below. The weights stay in shared memory.
- cudnn: the convolution alone, with bias and ReLU, neither the sum nor the place.

Printed are medians in microseconds, the ratio to the kernel in use, and the largest difference from
PyTorch's own operators relative to the largest output. A tile that a GPU has no room for is named.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F
from triton.runtime.errors import OutOfResources

from backbone.fast.cuda import convolve_chunk, tiles

SCALE = 4
STAGES = {1: (56, 32), 2: (28, 64), 3: (14, 128), 4: (7, 224)}  # size and padded chunk


class Tile(NamedTuple):
    """How a kernel divides its work; `strip` is the number of lines that one tile walks down."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    strip: int = 0


class Chunk(NamedTuple):
    """A chunk's convolution with its tensors: x and total (B * H * W, C), place within a block."""

    batch: int
    size: int
    x: Tensor
    weights: Tensor  # (3, 3, C, C), rows being channels of the input
    biases: Tensor
    place: Tensor
    total: Tensor


PIXELS = {
    32: [(128, 32, 32, 4, 4), (128, 32, 32, 8, 4)],
    64: [(128, 64, 64, 4, 3), (128, 64, 64, 8, 3), (256, 64, 32, 8, 3)],
    128: [(128, 128, 32, 8, 4), (128, 128, 64, 8, 3), (256, 128, 32, 8, 3)],
    224: [(128, 128, 32, 8, 4), (64, 256, 32, 8, 3), (128, 256, 32, 8, 3)],
}
LINES = {
    32: [
        (64, 32, 32, 4, 3, 7),
        (64, 32, 32, 4, 3, 14),
        (64, 32, 32, 4, 2, 14),
        (128, 32, 32, 4, 2, 14),
        (128, 32, 32, 8, 2, 14),
        (128, 32, 32, 8, 3, 28),
    ],
    64: [
        (64, 64, 64, 4, 2, 14),
        (64, 32, 64, 4, 2, 14),
        (128, 64, 64, 8, 2, 14),
        (128, 64, 64, 8, 2, 28),
    ],
    128: [(64, 32, 128, 4, 2, 7), (64, 32, 128, 4, 2, 14)],
    224: [],
}


@triton.jit
def convolve_lines(
    x, weights, biases, y, total,
    batch, height, width, x_pitch, y_pitch, total_pitch,
    CHUNK: tl.constexpr, DILATION: tl.constexpr, STRIP: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """A strip of lines of y = relu(conv3x3(x) + bias), and of total = that + what was at y before.

    Rows of a tile are the pixels that a line has in the whole batch, one after the other; columns
    are channels. With a dilation, a strip takes every so many lines.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    phase = tl.program_id(1) % DILATION
    start = tl.program_id(1) // DILATION * STRIP
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, DEPTH)
    place = row % width
    within = row < batch * width
    count = (height - phase + DILATION - 1) // DILATION
    end = tl.minimum(start + STRIP, count)
    first = (row // width * height + phase) * width + place
    known = channel < CHUNK
    used = column < CHUNK
    kernels = ()
    for tap in tl.static_range(9):
        kernel = weights + (tap * CHUNK + channel)[:, None] * CHUNK + column[None, :]
        kernels += (tl.load(kernel, mask=known[:, None] & used[None, :], other=0.0),)
    bias = tl.load(biases + column, mask=used, other=0.0).to(tl.float32)
    upper = tl.full((ROWS, COLUMNS), 0.0, dtype=tl.float32)
    middle = upper
    for step in tl.range(STRIP + 2, num_stages=STAGES):
        line = start - 1 + step
        lower = tl.full((ROWS, COLUMNS), 0.0, dtype=tl.float32)
        pixel = first + line * DILATION * width
        for side in tl.static_range(3):
            shift = (side - 1) * DILATION
            inside = within & (line >= 0) & (line < count)
            inside &= (place + shift >= 0) & (place + shift < width)
            pixels = x + (pixel + shift).to(tl.int64)[:, None] * x_pitch + channel[None, :]
            given = tl.load(pixels, mask=inside[:, None] & known[None, :], other=0.0)
            upper = tl.dot(given, kernels[6 + side], upper)
            middle = tl.dot(given, kernels[3 + side], middle)
            lower = tl.dot(given, kernels[side], lower)
        result = tl.maximum(upper + bias[None, :], 0.0).to(y.dtype.element_ty)
        kept = (within & (line > start) & (line <= end))[:, None] & used[None, :]
        above = (pixel - DILATION * width).to(tl.int64)[:, None]
        # Loaded and stored by the same threads, as pointers and types are the same: no barrier,
        # with which Triton would not load the next lines meanwhile.
        at = y + above * y_pitch + column[None, :]
        before = tl.load(at, mask=kept, other=0.0).to(tl.float32)
        added = (result.to(tl.float32) + before).to(y.dtype.element_ty)
        tl.store(total + above * total_pitch + column[None, :], added, mask=kept)
        tl.store(at, result, mask=kept)
        upper, middle = middle, lower


def by_pixels(chunk: Chunk, tile: Tile) -> None:
    """The kernel in use."""
    rows, channels = chunk.x.shape
    grid = triton.cdiv(rows, tile.rows) * triton.cdiv(channels, tile.columns), 1
    convolve_chunk[grid](
        chunk.x, chunk.weights, chunk.biases, chunk.place, chunk.total,
        rows, chunk.size, chunk.size, chunk.size, chunk.size,
        chunk.x.stride(0), chunk.place.stride(0), chunk.total.stride(0),
        CHUNK=channels, STRIDE=1, DILATION=1, POOLED=False, ADD=True,
        ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip


def by_lines(chunk: Chunk, tile: Tile, dilation: int = 1) -> None:
    """The candidate."""
    channels = chunk.x.shape[1]
    strips = dilation * triton.cdiv(triton.cdiv(chunk.size, dilation), tile.strip)
    rows = triton.cdiv(chunk.batch * chunk.size, tile.rows)
    convolve_lines[(rows, strips, triton.cdiv(channels, tile.columns))](
        chunk.x, chunk.weights, chunk.biases, chunk.place, chunk.total,
        chunk.batch, chunk.size, chunk.size,
        chunk.x.stride(0), chunk.place.stride(0), chunk.total.stride(0),
        CHUNK=channels, DILATION=dilation, STRIP=tile.strip,
        ROWS=tile.rows, COLUMNS=tile.columns, DEPTH=tile.depth, STAGES=tile.stages,
        num_warps=tile.warps,
    )  # fmt: skip


def made(batch: int, size: int, channels: int, dtype: torch.dtype, device: str) -> Chunk:
    """A chunk of random numbers."""
    pixels = batch * size * size
    block = torch.randn(pixels, SCALE * channels, dtype=dtype, device=device)
    weights = torch.randn(3, 3, channels, channels, device=device) / (3 * channels**0.5)
    return Chunk(
        batch,
        size,
        torch.randn(pixels, channels, dtype=dtype, device=device),
        weights.to(dtype),
        torch.randn(channels, dtype=dtype, device=device),
        block[:, channels : 2 * channels],
        torch.empty(pixels, channels, dtype=dtype, device=device),
    )


def image(chunk: Chunk) -> Tensor:
    """The chunk's input as PyTorch takes it: (B, C, H, W), channels last."""
    shape = chunk.batch, chunk.size, chunk.size, chunk.x.shape[1]
    return chunk.x.view(shape).permute(0, 3, 1, 2)


def difference(chunk: Chunk, call: Callable[[], None], dilation: int = 1) -> float:
    """The largest from PyTorch's operators in the chunk's type, relative to the largest output."""
    weight = chunk.weights.permute(3, 2, 0, 1)
    wanted = F.conv2d(image(chunk), weight, chunk.biases, 1, dilation, dilation).relu()
    result = wanted.permute(0, 2, 3, 1).reshape(chunk.x.shape).float()
    total = result + chunk.place.float()
    call()
    worst = max(
        (found.float() - right).abs().max().item()
        for found, right in ((chunk.place, result), (chunk.total, total))
    )
    return worst / total.abs().max().item()


def kernels(chunk: Chunk) -> dict[str, Callable[[], None]]:
    """The kernel in use, the same with other tiles, and the candidate with each of its tiles."""
    channels = chunk.x.shape[1]
    found = {}
    for numbers in [tiles(channels), *PIXELS[channels]]:
        tile = Tile(*numbers)
        found[f"pixels {tuple(tile[:-1])}"] = partial(by_pixels, chunk, tile)
    for numbers in LINES[channels]:
        tile = Tile(*numbers)
        found[f"lines {tuple(tile)}"] = partial(by_lines, chunk, tile)
    return found


def fitting(chunk: Chunk) -> tuple[dict[str, Callable[[], None]], dict[str, float]]:
    """The kernels that this GPU has room for, and how far each is from PyTorch's operators."""
    calls, errors = {}, {}
    for name, call in kernels(chunk).items():
        try:
            errors[name] = difference(chunk, call)
        except OutOfResources as error:
            print(f"  {name:36} no room: {error}", flush=True)
        else:
            calls[name] = call
    return calls, errors


def plain(chunk: Chunk) -> Callable[[], Tensor]:
    """The convolution of cuDNN alone."""
    weight = chunk.weights.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    geometry = (1, 1), (1, 1), (1, 1), 1
    return partial(torch.cudnn_convolution_relu, image(chunk), weight, chunk.biases, *geometry)


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Microseconds of each call."""
    # Written before each call: the caches are full of it, and the launch has time meanwhile.
    other = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            other.zero_()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            stop.synchronize()
            spent[name].append(1000 * start.elapsed_time(stop))
    return {name: statistics.median(times) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--batch", type=int, default=128, help="pictures at once")
    parser.add_argument("--rounds", type=int, default=30, help="how often each is timed")
    parser.add_argument("--stages", type=int, nargs="+", choices=STAGES, default=list(STAGES))
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("the kernels are for a GPU, and PyTorch finds none")
    torch.backends.cudnn.benchmark = True
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__)
    for stage in given.stages:
        size, channels = STAGES[stage]
        print(f"stage {stage}: {size} x {size}, {channels} channels a chunk", flush=True)
        chunk = made(given.batch, size, channels, torch.bfloat16, "cuda")
        calls, errors = fitting(chunk)
        spent = medians({**calls, "cudnn": plain(chunk)}, given.rounds)
        own = next(iter(spent.values()))
        for name, time in spent.items():
            error = f"{errors[name]:.1e}" if name in errors else ""
            print(f"  {name:36} {time:8.1f} {time / own:7.3f}   {error}", flush=True)


if __name__ == "__main__":
    main()
