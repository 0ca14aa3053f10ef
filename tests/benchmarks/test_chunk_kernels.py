"""The candidate for a chunk's kernel, interpreted on the CPU, or on a GPU where there is one."""

import importlib
import importlib.util

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def bench(monkeypatch):
    """The benchmark, whose kernels Triton's interpreter runs where there is no GPU."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("this PyTorch comes without Triton")
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return importlib.import_module("benchmarks.chunk_kernels")


@pytest.mark.parametrize(
    ("batch", "size", "channels", "dilation", "tile"),
    [
        (2, 9, 32, 1, (16, 32, 32, 4, 3, 4)),
        (3, 5, 26, 2, (16, 16, 32, 4, 2, 2)),
        (1, 1, 40, 1, (16, 32, 64, 4, 2, 7)),
        (2, 7, 16, 3, (16, 16, 16, 4, 2, 1)),
    ],
)
def test_a_tile_that_walks_down_the_lines_computes_the_same(
    bench, batch, size, channels, dilation, tile
):
    torch.manual_seed(0)
    chunk = bench.made(batch, size, channels, torch.float32, DEVICE)
    untouched = chunk.place._base.clone()
    tolerance = 1e-6 if DEVICE == "cpu" else 2e-3  # on a GPU, Triton multiplies fp32 in tf32
    call = bench.partial(bench.by_lines, chunk, bench.Tile(*tile), dilation)
    assert bench.difference(chunk, call, dilation) < tolerance
    inner = slice(channels, 2 * channels)
    after = chunk.place._base.clone()
    assert not torch.equal(after[:, inner], untouched[:, inner])
    after[:, inner] = untouched[:, inner]
    assert torch.equal(after, untouched)  # no other chunk of the block was written


def test_the_kernel_in_use_is_the_first_and_agrees(bench):
    chunk = bench.made(1, 6, 32, torch.float32, DEVICE)
    name, call = next(iter(bench.kernels(chunk).items()))
    assert name == f"pixels {bench.tiles(32)}"
    assert bench.difference(chunk, call) < (1e-6 if DEVICE == "cpu" else 2e-3)
