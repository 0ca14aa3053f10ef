"""The kernel for tensor cores, interpreted on the CPU; and the whole of it where there is a GPU."""

import importlib
import importlib.util

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from backbone import deploy
from backbone.blocks import Bottle2neck
from backbone.fast.blocks import FusedBottle2neck
from backbone.fast.deployed import searching
from tests.backbone.fast.test_deploy import FAMILIES, agree, randomised

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
no_triton = importlib.util.find_spec("triton") is None

BLOCKS = {
    "four chunks": {"base_width": 26, "scale": 4},
    "eight chunks": {"base_width": 14, "scale": 8},
    "two chunks": {"base_width": 48, "scale": 2},
    "three wide chunks, dilated": {"base_width": 72, "scale": 3, "dilation": 2},
    "first": {"base_width": 26, "scale": 4, "first": True},
    "first, strided": {"base_width": 26, "scale": 4, "first": True, "stride": 2},
    "first, dilated": {"base_width": 26, "scale": 4, "first": True, "dilation": 2},
}


@pytest.fixture
def kernels(monkeypatch):
    """The module of the kernels, which Triton's interpreter runs where there is no GPU."""
    if no_triton:
        pytest.skip("this PyTorch comes without Triton")
    if not torch.cuda.is_available():
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return importlib.import_module("backbone.fast.cuda")


def fused(name, kernels, pad_to=32):
    """A block, and the same for tensor cores."""
    options = dict(BLOCKS[name])
    apart = options.pop("first", False)
    down = nn.Sequential(nn.Conv2d(48, 64, 1, options.get("stride", 1)), nn.BatchNorm2d(64))
    channels = 48 if apart else 64
    made = Bottle2neck(channels, 64, 64, downsample=down if apart else None, **options)
    made = randomised(made).requires_grad_(False).to(DEVICE)
    block = FusedBottle2neck(made, False, pad_to=pad_to)
    assert kernels.fits(block)
    return block, kernels.TensorCoreBottle2neck(block)


# Padding decides how wide chunks are and nothing else: less of it in both ways of chaining them.
@pytest.mark.parametrize(
    ("name", "pad_to"),
    [*((name, 32) for name in BLOCKS), ("four chunks", 8), ("first, strided", 8)],
)
def test_the_kernel_computes_the_block(kernels, name, pad_to):
    torch.manual_seed(0)
    block, changed = fused(name, kernels, pad_to)
    channels = block.conv1.out_channels
    # On a GPU, Triton multiplies fp32 in tf32.
    tolerance = 1e-6 if DEVICE == "cpu" else 2e-3
    with torch.inference_mode():
        x = torch.randn(2, channels, 9, 7, device=DEVICE).relu()
        expected = block.hierarchy(x)
        if not block.apart:
            chunks = list(expected.chunk(block.scale, dim=1))
            expected = torch.cat([chunks[-2], *chunks[:-2], chunks[-1]], dim=1)
        agree([changed.hierarchy(x.clone())], [expected], tolerance)
        for size in ((1, 11, 12), (3, 1, 5)):  # several tiles, and the whole batch in one
            x = torch.randn(size[0], block.conv1.in_channels, *size[1:], device=DEVICE)
            given = x.clone()
            agree([changed(x)], [block(x)], tolerance)
            assert torch.equal(x, given)


def test_compilers_see_the_shapes_that_come_out(kernels):
    for name, operator in (("four chunks", kernels.chain_), ("first, strided", kernels.apart)):
        _, changed = fused(name, kernels)
        x = torch.randn(2, changed.conv1.out_channels, 9, 6, device=DEVICE)
        x = x.to(memory_format=torch.channels_last)
        geometry = changed.geometry if changed.apart else changed.geometry[1:]
        given = x, changed.weights, changed.biases, *geometry
        torch.library.opcheck(operator, given, test_utils=["test_schema", "test_faketensor"])


def test_compilers_see_the_shape_of_a_convolution(kernels):
    with FakeTensorMode():
        x, layer = torch.empty(2, 16, 9, 6), nn.Conv2d(16, 32, 3, 2, 1)
        found = kernels.convolution(x, layer.weight, layer.bias, None, [2, 2], [1, 1], [1, 1], 1)
        assert found.shape == layer(x).shape
        assert found.is_contiguous(memory_format=torch.channels_last)


def test_the_search_for_kernels_leaves_the_callers_settings():
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    with searching():
        assert torch.backends.cudnn.benchmark
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == before


def test_chunks_are_padded_to_half_a_multiple_where_that_is_enough():
    for width, expected in ((14, 16), (16, 16), (18, 32), (26, 32), (36, 64)):
        block = Bottle2neck(64, 64, 64, base_width=width, scale=4)
        assert FusedBottle2neck(block.eval(), False, pad_to=32).convs[0].in_channels == expected


@on_cuda
@pytest.mark.parametrize("family", FAMILIES)
def test_on_cuda_in_bf16_features_are_near(randomise, family):
    trunk = randomise(FAMILIES[family]()).cuda()
    fast = deploy(trunk, precision="bf16")
    with torch.inference_mode():
        for size in ((2, 64, 48), (3, 97, 65)):
            x = torch.randn(size[0], trunk.in_channels, *size[1:], device="cuda")
            found = fast(x)
            assert found.c5.dtype is torch.bfloat16
            agree([feature.float() for feature in found], trunk(x), 0.01)


@on_cuda
def test_on_cuda_compiled_features_are_near(randomise):
    trunk = randomise(FAMILIES["v1b"]()).cuda()
    fast = deploy(trunk, precision="bf16", compile=True)
    x = torch.randn(2, 3, 64, 64, device="cuda")
    with torch.inference_mode():
        for _ in range(3):  # the third call replays the recorded graph
            found = [feature.float() for feature in fast(x)]
        agree(found, trunk(x), 0.01)


@on_cuda
def test_on_cuda_compiled_training_is_as_near_as_bf16_is():
    """Gradients of a fresh net's first layers are ill-conditioned: fp32 is the judge of both."""
    torch.manual_seed(0)
    trunk = FAMILIES["res2net"]().cuda().train()
    x = torch.randn(4, 3, 64, 64, device="cuda")

    def gradient(call, low):
        trunk.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=low):
            call(x).c5.float().square().mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in trunk.parameters()])

    exact = gradient(trunk, low=False)
    compiled, plain = (
        (gradient(call, low=True) - exact).norm() for call in (torch.compile(trunk), trunk)
    )
    assert compiled < 1.5 * plain
