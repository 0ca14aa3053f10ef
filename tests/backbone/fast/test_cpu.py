"""The kernel that computes a whole block in one pass, against the block itself."""

import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._inductor.utils import run_and_get_code

from backbone import MODELS, deploy
from backbone.blocks import Bottle2neck
from backbone.fast import build, cpu
from backbone.fast.blocks import FusedBottle2neck, fuse_blocks
from backbone.res2net import shortcut as shortcut_layers
from tests.backbone.fast.test_deploy import randomised

# Rounding of sums that are taken in another order, and of bf16 between the layers.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

BLOCKS = {
    "four chunks": {"base_width": 26, "scale": 4},
    "eight chunks": {"base_width": 14, "scale": 8},
    "two wide chunks": {"base_width": 104, "scale": 2},
    "three chunks, dilated": {"base_width": 72, "scale": 3, "dilation": 2},
    "first": {"base_width": 26, "scale": 4, "first": "strided"},
    "first, strided": {"base_width": 26, "scale": 4, "first": "strided", "stride": 2},
    "first, averaged": {"base_width": 26, "scale": 4, "first": "averaged", "stride": 2},
    "first, dilated": {"base_width": 10, "scale": 3, "first": "averaged", "dilation": 4},
    "first of DLA": {"base_width": 28, "scale": 4, "first": "given", "stride": 2},
}


@pytest.fixture(params=TOLERANCE, ids=["fp32", "bf16"])
def dtype(request):
    if not build.supported(request.param):
        pytest.skip("this processor does not multiply that type in long vectors")
    return request.param


@pytest.fixture(params=build.WIDTHS)
def width(request, monkeypatch):
    """Each width of vectors that this machine can execute; the least one runs everywhere."""
    if request.param > build.lanes():
        pytest.skip(f"this processor has no vectors of {request.param} floats")
    monkeypatch.setattr(build, "lanes", lambda: request.param)
    monkeypatch.setattr(build, "supported", lambda dtype: dtype == torch.float32)
    return request.param


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def blocks(dtype, inputs=96, outputs=96, first=None, **options):
    """A fused block, and the same in one pass."""
    stride, dilation = options.get("stride", 1), options.get("dilation", 1)
    down = None
    if first in ("strided", "averaged"):
        inputs = 48
        down = shortcut_layers(inputs, outputs, stride, dilation, first == "averaged")
    made = Bottle2neck(inputs, 64, outputs, downsample=down, first=first is not None, **options)
    block = FusedBottle2neck(randomised(made).requires_grad_(False), False)
    block = block.to(dtype)
    changed = cpu.use_one_pass(copy.deepcopy(block))
    assert isinstance(changed, cpu.OnePassBottle2neck)
    return block, changed


def pictures(block, batch, height, width):
    dtype = block.conv1.weight.dtype
    return torch.randn(batch, block.conv1.in_channels, height, width).relu().to(dtype)


def given_shortcut(first, x, stride):
    if first != "given":
        return ()
    size = (x.shape[2] - 1) // stride + 1, (x.shape[3] - 1) // stride + 1
    return (torch.randn(x.shape[0], 96, *size).to(x.dtype),)


@torch.inference_mode()
def compare(block, changed, x, *shortcut):
    before = x.clone()
    found, expected = changed(x, *shortcut), block(x, *shortcut)
    assert torch.equal(x, before)
    assert found.dtype == x.dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_near(found, expected)
    return found


def assert_near(found, expected, times=1):
    allowed = times * TOLERANCE[found.dtype] * max(1, expected.abs().max().item())
    torch.testing.assert_close(found, expected, atol=allowed, rtol=0)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_kernel_computes_the_block(dtype, name):
    torch.manual_seed(0)
    options = BLOCKS[name]
    block, changed = blocks(dtype, **options)
    for size in ((2, 9, 7), (1, 56, 57), (3, 1, 5), (5, 14, 14), (2, 3, 450)):
        x = pictures(block, *size)
        shortcut = given_shortcut(options.get("first"), x, options.get("stride", 1))
        torch.set_num_threads(1)
        alone = compare(block, changed, x, *shortcut)
        for threads in (2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                assert torch.equal(changed(x, *shortcut), alone)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_width_computes_the_block(width, name):
    torch.manual_seed(0)
    options = BLOCKS[name]
    block, changed = blocks(torch.float32, **options)
    for size in ((2, 9, 7), (1, 5, 130)):
        x = pictures(block, *size)
        compare(
            block, changed, x, *given_shortcut(options.get("first"), x, options.get("stride", 1))
        )


@pytest.mark.skipif(build.lanes() < 8, reason="the kernel is not used with such short vectors")
@settings(deadline=None, max_examples=60)
@given(
    scale=st.integers(2, 5),
    width=st.integers(1, 40),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 5),
    first=st.sampled_from([None, "strided", "given"]),
    channels=st.tuples(st.integers(1, 70), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 24), st.integers(1, 24)),
    threads=st.integers(1, 3),
)
def test_any_geometry(scale, width, stride, dilation, first, channels, size, threads):
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    options = {"base_width": width, "scale": scale, "dilation": dilation, "first": first}
    inputs, outputs = (channels[0], 96) if first == "given" else (channels[1],) * 2
    if first is not None:
        options["stride"] = stride
    block, changed = blocks(torch.float32, inputs, outputs, **options)
    x = pictures(block, *size)
    compare(block, changed, x, *given_shortcut(first, x, stride))


def test_a_result_takes_the_place_of_what_nobody_else_reads():
    """Of two chains of two blocks, one whose first result is read again; in each type at once."""
    torch.manual_seed(0)
    pairs = [
        blocks(dtype, **BLOCKS["four chunks"]) for dtype in TOLERANCE if build.supported(dtype)
    ]
    if not pairs:
        pytest.skip("this processor has no vectors for the kernel")

    class Chains(nn.Module):
        def __init__(self, blocks):
            super().__init__()
            self.blocks = nn.ModuleList(blocks)

        def forward(self, inputs):
            results = []
            for block, x in zip(self.blocks, inputs, strict=True):
                first = block(x * 2)
                results += [block(block(x * 3)), block(first) + first]
            return results

    plain, changed = (Chains(each) for each in zip(*pairs, strict=True))
    inputs = [pictures(block, 2, 9, 7).to(memory_format=torch.channels_last) for block, _ in pairs]
    with torch.no_grad():
        expected = plain(inputs)
        found, (code,) = run_and_get_code(torch.compile(changed), inputs)
    torch.compiler.reset()
    for one, other in zip(found, expected, strict=True):
        assert_near(one, other, times=3)
    calls = [line for line in code.splitlines() if "ops.res2net.one_pass_.default(" in line]
    assert len(calls) == 4 * len(pairs)
    # One that both blocks of a chain write, and two where the first result has to stay.
    buffers = {line.split("one_pass_.default(")[1].split(",")[0] for line in calls}
    assert len(buffers) == 3 * len(pairs)


def test_within_a_stage_results_take_each_others_place(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(build, "built_already", lambda _: True)
    copies, clone = [], torch.Tensor.clone
    monkeypatch.setattr(
        torch.Tensor, "clone", lambda x, **named: copies.append(1) or clone(x, **named)
    )
    names = ("first", "four chunks", "four chunks", "four chunks")
    made = [blocks(torch.float32, **BLOCKS[name])[0] for name in names]
    stage = cpu.use_one_pass(nn.Sequential(*copy.deepcopy(made)), wait=False)
    seen = []
    for start, watched, expected in ((0, None, 0), (1, None, 1), (0, 1, 2), (0, 3, 1)):
        changed, plain = stage[start:], nn.Sequential(*made[start:])
        x = pictures(made[start], 2, 9, 7).contiguous(memory_format=torch.channels_last)
        if watched is not None:  # by a hook that comes later than deploy
            hook = stage[watched].register_forward_hook(lambda *given: seen.append(given[2]))
        copies.clear()
        with torch.inference_mode():
            changed(x)
        assert len(copies) == expected
        compare(plain, changed, x)
        if watched is not None:
            hook.remove()
            assert_near(seen[-1], plain[: watched + 1](x))


def test_compilers_see_the_shapes_that_come_out(dtype):
    for name in ("first, strided", "first of DLA"):
        options = BLOCKS[name]
        block, changed = blocks(dtype, **options)
        x = pictures(block, 2, 9, 6).contiguous(memory_format=torch.channels_last)
        shortcut = given_shortcut(options["first"], x, 2)
        beside = None if changed.before is None else changed.before(x)
        lists = [
            [getattr(changed, f"{kind}{i}") for i in range(3)] for kind in ("weights", "biases")
        ]
        given = x, shortcut[0] if shortcut else None, beside, *lists, changed.geometry
        checks = ["test_schema", "test_faketensor"]
        torch.library.opcheck(cpu.one_pass, given, test_utils=checks)


def test_a_block_with_a_shortcut_of_its_own_takes_no_other():
    _, changed = blocks(torch.float32, **BLOCKS["first"])
    x = torch.randn(1, 48, 4, 4)
    with pytest.raises(ValueError, match="makes its own"):
        changed(x, torch.randn(1, 96, 4, 4))


def test_several_python_threads_at_once():
    torch.manual_seed(0)
    block, changed = blocks(torch.float32, **BLOCKS["four chunks"])
    given = [pictures(block, batch, 17, 19) for batch in (1, 2, 3, 4) * 4]
    with torch.inference_mode():
        expected = [changed(x) for x in given]

    @torch.inference_mode()
    def run(x):
        return changed(x)

    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(run, given), expected, strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("variant", ["res2net50_26w_4s", "res2net50_v1b", "res2net26_14w_4s_half"])
def test_every_plain_block_of_a_trunk_is_exchanged(variant):
    trunk = fuse_blocks(copy.deepcopy(MODELS[variant]()).eval(), overwrite=False, pad_to=1)
    fused = [layer for layer in trunk.modules() if type(layer) is FusedBottle2neck]
    cpu.use_one_pass(trunk)
    changed = [layer for layer in trunk.modules() if type(layer) is cpu.OnePassBottle2neck]
    assert len(changed) == len(fused) > 0
    assert all(block.downsample is None for block in changed)


def test_blocks_that_the_kernel_does_not_have_stay_as_they_are(monkeypatch):
    for options in (
        {"cardinality": 2, "base_width": 8},
        {"squeeze_excitation": True},
        {"scale": 1, "base_width": 64},
    ):
        made = Bottle2neck(64, 64, 64, **options).eval()
        assert not cpu.fits(FusedBottle2neck(made, False))
    odd = FusedBottle2neck(Bottle2neck(64, 64, 64, base_width=7, scale=3).eval(), False)
    assert cpu.fits(odd)
    assert not cpu.fits(odd.to(torch.bfloat16))
    monkeypatch.setattr(build, "lanes", lambda: 4)
    assert not cpu.fits(odd.to(torch.float32))
    model = deploy(MODELS["res2net26_14w_4s_half"]().eval(), compile=True)
    assert not any(isinstance(m, cpu.OnePassBottle2neck) for m in model.modules())


def test_until_the_kernel_is_built_plain_layers_serve(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    begun = []
    monkeypatch.setattr(build, "_build_in_background", lambda: begun.append(1))
    ask = build.built_already.__wrapped__
    assert not ask(4) and len(begun) == 1
    build.place(build.LIBRARY, 4)[0].touch()
    assert ask(4) and len(begun) == 1
    block = FusedBottle2neck(Bottle2neck(64, 64, 64).eval(), False)
    monkeypatch.setattr(build, "built_already", lambda _: False)
    monkeypatch.setattr(build, "supported", lambda _: True)
    assert cpu.use_one_pass(block, wait=False) is block
    for name, message in (
        ("nowhere", "no C++ compiler was found"),
        ("false", "is no C++ compiler"),
    ):
        monkeypatch.setenv("CXX", name)
        assert not ask(4)
        assert message in capsys.readouterr().err


def test_gradients_take_the_layers_way():
    torch.manual_seed(0)
    block, _ = blocks(torch.float32, **BLOCKS["four chunks"])
    changed = cpu.OnePassBottle2neck(copy.deepcopy(block), copy.deepcopy(block))
    x = pictures(block, 1, 9, 7)
    grads = []
    for one in (block, changed):
        given = x.clone().requires_grad_()
        one(given).sum().backward()
        grads.append(given.grad)
    assert torch.equal(*grads) and grads[0].abs().sum() > 0


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    (tmp_path / "broken.cpp").write_text("this is no C++")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(RuntimeError, match=r"failed on broken\.cpp"):
        build.library("broken", 4)
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_profilers_see_the_kernel(dtype):
    block, changed = blocks(dtype, **BLOCKS["first"])
    with torch.inference_mode(), torch.profiler.profile() as profiled:
        changed(pictures(block, 1, 9, 7))
    assert "res2net::one_pass" in {event.key for event in profiled.key_averages()}


def test_code_is_not_loaded_from_a_folder_of_another_user(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    build.place("seven", 4)
    monkeypatch.setattr(build.os, "getuid", lambda: 12345)
    with pytest.raises(RuntimeError, match=r"res2net: belongs to another user; name a folder"):
        build.place("seven", 4)


def test_without_a_folder_plain_layers_serve(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    assert not build.built_already.__wrapped__(4)
    said = capsys.readouterr().err
    assert "file/res2net: cannot be made (Not a directory); name a folder of your own" in said
    assert said.count("\n") == 1


def test_a_deployed_network_runs_without_the_import_of_a_compiler():
    """Which takes seconds, at the start of every command."""
    script = (
        "import sys, torch; from backbone import MODELS, deploy\n"
        "fast = deploy(MODELS['res2net26_14w_4s_half']().eval())\n"
        "with torch.inference_mode(): fast(torch.zeros(1, 3, 64, 64))\n"
        "sys.exit('torch._dynamo' in sys.modules or 'torch._inductor' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_library_is_built_once(monkeypatch, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources/seven.cpp").write_text('extern "C" int seven() { return 7; }')
    monkeypatch.setattr(build, "SOURCES", tmp_path / "sources")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    assert build.library.__wrapped__("seven", 4).seven() == 7
    calls = []
    run = subprocess.run
    monkeypatch.setattr(
        build.subprocess, "run", lambda *args, **kw: calls.append(args) or run(*args, **kw)
    )
    assert build.library.__wrapped__("seven", 4).seven() == 7
    assert len(calls) == 1  # the compiler's version only
    (tmp_path / "sources/seven.cpp").write_text('extern "C" int seven() { return 8; }')
    assert build.library.__wrapped__("seven", 4).seven() == 8
