"""`torch.compile` without graph breaks, and `torch.export` for pictures of any size."""

from functools import partial
from unittest import mock

import pytest
import torch
from torch.export import Dim

from backbone import Bottle2neck, Pyramid, dla, res2net, resnet

SMALL = (2, 1, 1, 1)
CHANNELS = (8, 8, 16, 32, 64, 128)


def small_dla():
    """All that a DLA-60 is made of, with an eighth of its channels and a smaller third tree."""
    block = partial(Bottle2neck, base_width=28, scale=3)
    with mock.patch.object(dla, "CHANNELS", CHANNELS):
        trunk = dla.DLA(block)
    trunk.level4 = dla.Twig(32, 64, block, stride=2, dilations=(1, 1), passed=32)
    return trunk


# Three chunks are the least of which one is added to the next.
FAMILIES = {
    "v1b, dilated": partial(
        res2net,
        SMALL,
        width=16,
        scale=3,
        stem="deep",
        average_shortcut=True,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
    ),
    "se_res2next": partial(
        res2net, SMALL, width=32, base_width=4, scale=3, cardinality=8, squeeze_excitation=True
    ),
    "resnet": partial(resnet, SMALL, width=16),
    "dla": small_dla,
}
"""Each option of a trunk is in one of them: trunks with fewer are contained."""

SIZES = [(64, 64), (129, 97), (100, 47)]


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def same(found, expected, tolerance=0.0):
    assert isinstance(found, Pyramid)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_compile_without_graph_breaks(randomise, family):
    trunk = randomise(FAMILIES[family]())
    compiled = torch.compile(trunk, fullgraph=True, backend="eager")
    x = torch.randn(1, 3, 65, 49)
    with torch.no_grad():
        same(compiled(x), trunk(x))


def test_compile_trains(randomise):
    trunk = randomise(FAMILIES["v1b, dilated"]()).train()
    compiled = torch.compile(trunk, fullgraph=True, backend="aot_eager")
    compiled(torch.randn(2, 3, 65, 49)).c5.sum().backward()
    assert trunk.conv1[0].weight.grad.any()


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="before 2.13 the exporter guards sizes that a pool halves",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_export_with_dynamic_height_and_width(randomise, family):
    """`Dim.DYNAMIC` is an error where an axis turns out to be fixed.

    A `Dim` with a range would fail on v1b and DLA: pools that round up leave a condition behind
    that always holds but which the exporter cannot prove.
    """
    trunk = randomise(FAMILIES[family]())
    sizes = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(trunk, (torch.randn(1, 3, 64, 96),), dynamic_shapes=(sizes,))
    exported = program.module()
    for size in SIZES:
        x = torch.randn(1, 3, *size)
        with torch.no_grad():
            same(exported(x), trunk(x))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_inductor_computes_the_same(randomise, family):
    trunk = randomise(FAMILIES[family]())
    compiled = torch.compile(trunk, fullgraph=True)
    x = torch.randn(1, 3, 97, 65)
    with torch.no_grad():
        expected = trunk(x)
        for one, other in zip(compiled(x), expected, strict=True):
            assert (one - other).norm() / other.norm() < 1e-4
