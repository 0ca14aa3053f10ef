"""Shapes, rules and arithmetic of the trunks, against hand-written oracles."""

import functools
import inspect
from functools import partial
from math import ceil
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from backbone import MODELS, Bottle2neck, Bottleneck, Pyramid, Res2Net, ResNet, res2net, resnet
from backbone.dla import DLA
from backbone.variants import DLAVariation, Variation

SMALL = (2, 1, 1, 1)
FAMILIES = {
    "res2net": partial(res2net, SMALL),
    "v1b": partial(res2net, SMALL, stem="deep", average_shortcut=True),
    "res2next": partial(res2net, SMALL, base_width=16, cardinality=4),
    "se_res2net": partial(res2net, SMALL, squeeze_excitation=True),
    "resnet": partial(resnet, SMALL),
}
# Counted from the architecture; all agree with the published two decimals of a million.
PUBLISHED_PARAMETERS = {
    "res2net50_48w_2s": 25_287_304,
    "res2net50_26w_4s": 25_699_120,
    "res2net50_14w_8s": 25_059_816,
    "res2net50_26w_6s": 37_051_448,
    "res2net50_26w_8s": 48_403_776,
    "res2net101_26w_4s": 45_206_688,
    "res2next50": 24_671_464,
    "dla60_res2net": 20_848_072,
    "dla60_res2next": 17_032_984,
    "res2net50_v1b": 25_718_352,
    "res2net101_v1b": 45_225_920,
    "res2net152_v1b": 61_294_480,
    "res2net50_18w_6s": 25_158_664,
    "res2net50_18w_4s": 18_095_104,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
}


@functools.cache
def on_meta(name):
    """A variant without data, made once for the tests that only look at it."""
    with torch.device("meta"):
        return MODELS[name]().eval()


def features_on_meta(trunk, *size):
    """Features without data of pictures (B, C, H, W); norms, which keep sizes, take no time."""
    with mock.patch.object(nn.BatchNorm2d, "forward", lambda _, x: x):
        return trunk.eval()(torch.empty(size, device="meta"))


@pytest.mark.parametrize(("name", "published"), PUBLISHED_PARAMETERS.items())
def test_parameters_with_a_classifier_are_the_published_ones(name, published):
    trunk = on_meta(name)
    classifier = trunk.channels.c5 * 1000 + 1000
    assert sum(p.numel() for p in trunk.parameters()) + classifier == published


def test_the_names_of_parameters_are_the_published_ones():
    with torch.device("meta"):
        names = [key for key, _ in MODELS["res2net50_v1b"]().named_parameters()]
    assert names[:9] == [
        "conv1.0.weight", "conv1.1.weight", "conv1.1.bias", "conv1.3.weight", "conv1.4.weight",
        "conv1.4.bias", "conv1.6.weight", "bn1.weight", "bn1.bias",
    ]  # fmt: skip
    first = [name.removeprefix("layer2.0.") for name in names if name.startswith("layer2.0.")]
    assert first == [
        "conv1.weight", "bn1.weight", "bn1.bias",
        "convs.0.weight", "convs.1.weight", "convs.2.weight",
        "bns.0.weight", "bns.0.bias", "bns.1.weight", "bns.1.bias", "bns.2.weight", "bns.2.bias",
        "conv3.weight", "bn3.weight", "bn3.bias",
        "downsample.1.weight", "downsample.2.weight", "downsample.2.bias",
    ]  # fmt: skip
    assert not [name for name in names if name.startswith("fc")]


def expected_sizes(size: int, strides: Pyramid[int]) -> list[int]:
    """Every layer rounds up, so sizes are divided step by step."""
    sizes, before = [], 1
    for stride in strides:
        size = ceil(size / (stride // before))
        sizes.append(size)
        before = stride
    return sizes


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    strides=st.tuples(*[st.integers(1, 3)] * 4),
    dilations=st.tuples(*[st.integers(1, 4)] * 4),
    dilate_first=st.booleans(),
    width=st.sampled_from([4, 16, 40, 64]),
    in_channels=st.integers(1, 4),
    stem_stride=st.integers(1, 2),
    max_pool=st.booleans(),
    height=st.integers(1, 150),
    across=st.integers(1, 150),
)
def test_channels_and_strides_tell_the_truth(
    family,
    strides,
    dilations,
    dilate_first,
    width,
    in_channels,
    stem_stride,
    max_pool,
    height,
    across,
):
    with torch.device("meta"):
        trunk = FAMILIES[family](
            in_channels=in_channels,
            strides=strides,
            dilations=dilations,
            dilate_first=dilate_first,
            width=width,
            stem_stride=stem_stride,
            max_pool=max_pool,
        )
    features = features_on_meta(trunk, 2, in_channels, height, across)
    assert isinstance(features, Pyramid)
    assert [f.shape[1] for f in features] == list(trunk.channels)
    assert [f.shape[2] for f in features] == expected_sizes(height, trunk.strides)
    assert [f.shape[3] for f in features] == expected_sizes(across, trunk.strides)


@settings(max_examples=6, deadline=None)
@given(
    strides=st.tuples(*[st.integers(1, 3)] * 4),
    dilations=st.tuples(*[st.integers(1, 4)] * 4),
    height=st.integers(1, 150),
)
def test_the_trees_of_dla_tell_the_truth_too(strides, dilations, height):
    with torch.device("meta"):
        trunk = MODELS["dla60_res2net"](strides=strides, dilations=dilations, in_channels=1)
    features = features_on_meta(trunk, 1, 1, height, 97)
    assert [f.shape[1] for f in features] == list(trunk.channels) == [32, 128, 256, 512, 1024]
    assert [f.shape[2] for f in features] == expected_sizes(height, trunk.strides)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_variant_has_the_usual_strides(name):
    trunk = on_meta(name)
    features = features_on_meta(trunk, 1, 3, 193, 161)
    assert trunk.strides == Pyramid(2, 4, 8, 16, 32)
    assert [tuple(f.shape[2:]) for f in features] == [
        (97, 81), (49, 41), (25, 21), (13, 11), (7, 6),
    ]  # fmt: skip


def by_hand(block: Bottle2neck, x: torch.Tensor) -> torch.Tensor:
    """Equation 1 of the paper in the order of the published weights, chunk by chunk."""
    relu = torch.relu
    x = relu(block.bn1(block.conv1(x)))
    width = x.shape[1] // block.scale
    x = [x[:, i * width : (i + 1) * width] for i in range(block.scale)]
    if block.scale == 1:
        y = [relu(block.bns[0](block.convs[0](x[0])))]
    else:
        y = [relu(block.bns[0](block.convs[0](x[0])))]
        for i in range(1, block.scale - 1):
            given = x[i] if block.downsample else x[i] + y[i - 1]
            y.append(relu(block.bns[i](block.convs[i](given))))
        stride = block.convs[0].stride[0]
        y.append(nn.AvgPool2d(3, stride, 1)(x[-1]) if block.downsample else x[-1])
    return block.bn3(block.conv3(torch.cat(y, 1)))


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("first", "stride"), [(False, 1), (True, 1), (True, 2)])
def test_a_block_follows_equation_1(randomise, scale, first, stride):
    downsample = nn.Conv2d(24, 24, 1, stride) if first else None
    block = randomise(
        Bottle2neck(24, 16, 24, stride=stride, downsample=downsample, base_width=20, scale=scale)
    )
    x = torch.randn(2, 24, 11, 14)
    with torch.no_grad():
        shortcut = downsample(x) if downsample else x
        torch.testing.assert_close(block(x), torch.relu(by_hand(block, x) + shortcut))


@pytest.mark.parametrize("stride", [1, 2])
def test_scale_one_is_a_plain_bottleneck(randomise, stride):
    downsample = nn.Conv2d(32, 48, 1, stride)
    plain = randomise(Bottleneck(32, 12, 48, stride=stride, downsample=downsample))
    block = Bottle2neck(32, 12, 48, stride=stride, downsample=downsample, base_width=64, scale=1)
    names = {"convs.0": "conv2", "bns.0": "bn2"}
    state = plain.state_dict()
    for key in block.state_dict():
        for ours, theirs in names.items():
            if key.startswith(ours):
                state[key] = state.pop(key.replace(ours, theirs))
    block.load_state_dict(state)
    x = torch.randn(2, 32, 9, 10)
    with torch.no_grad():
        assert torch.equal(block.eval()(x), plain(x))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_gradient_reaches_every_parameter(family):
    torch.manual_seed(0)
    trunk = FAMILIES[family](width=32, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    loss = sum((f * torch.randn_like(f)).sum() for f in trunk(torch.randn(2, 3, 65, 49)))
    loss.backward()
    silent = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_the_gradient_reaches_every_parameter_of_dla():
    torch.manual_seed(0)
    trunk = MODELS["dla60_res2next"]()
    loss = sum((f * torch.randn_like(f)).sum() for f in trunk(torch.randn(2, 3, 65, 49)))
    loss.backward()
    silent = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def dilations_of(trunk: nn.Module, layer: str) -> list[int]:
    """The dilations of all 3x3 convolutions of a stage, in order of the blocks."""
    return [
        module.dilation[0]
        for name, module in trunk.named_modules()
        if name.startswith(layer) and isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize("name", ["res2net50_26w_4s", "dla60_res2net"])
def test_which_dilation_the_first_block_has(name):
    stage = "level5" if name.startswith("dla") else "layer4"
    options = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
    with torch.device("meta"):
        kept = dilations_of(MODELS[name](**options), stage)
        full = dilations_of(MODELS[name](**options, dilate_first=True), stage)
    assert kept[:3] == [2, 2, 2]
    assert set(kept[3:]) == {4}
    assert set(full) == {4}


def test_the_pool_of_a_dilated_stage_keeps_its_kernel():
    with torch.device("meta"):
        trunk = MODELS["res2net50_26w_4s"](strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2))
    pool = trunk.layer4[0].pool
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, 1, 1)
    assert pool.count_include_pad
    assert isinstance(trunk.layer4[1].pool, nn.Identity)


def test_ceil_mode_rounds_the_max_pool_up():
    with torch.device("meta"):
        picture = torch.empty(1, 3, 224, 224)
        assert resnet(SMALL)(picture).c2.shape[2] == 56
        assert resnet(SMALL, ceil_mode=True)(picture).c2.shape[2] == 57


def test_a_trunk_for_sound():
    trunk = res2net(SMALL, stem="3x3", stem_stride=1, max_pool=False, in_channels=1, width=32)
    features = trunk.eval()(torch.randn(1, 1, 80, 50))
    assert trunk.strides == Pyramid(1, 1, 2, 4, 8)
    assert [tuple(f.shape[1:]) for f in features] == [
        (32, 80, 50), (128, 80, 50), (256, 40, 25), (512, 20, 13), (1024, 10, 7),
    ]  # fmt: skip


def test_features_are_not_overwritten_by_later_stages(randomise):
    """ReLUs work in place; what a head receives must be what the stage has made."""
    trunk = randomise(res2net(SMALL, width=16, max_pool=False))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        features = trunk(x)
        stem = torch.relu(trunk.bn1(trunk.conv1(x)))
        assert torch.equal(features.c1, stem)
        assert torch.equal(features.c3, trunk.layer2(trunk.layer1(stem)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strides": (1, 2, 2)}, "strides"),
        ({"dilations": (1, 1, 0, 1)}, "dilations"),
        ({"stem": "5x5"}, "5x5"),
        ({"width": 2}, "base_width"),
    ],
)
def test_impossible_numbers_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        res2net(SMALL, base_width=26, **options)


def test_nets_are_called_what_they_are():
    for name in MODELS:
        trunk = on_meta(name)
        assert isinstance(trunk, Res2Net) == (name.startswith(("res2n", "se_res2n")))
        assert isinstance(trunk, ResNet) == (not name.startswith("dla"))


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="strids"):
        MODELS["res2net26_14w_4s"](strids=(1, 2, 2, 1))


@pytest.mark.parametrize(("options", "net"), [(Variation, ResNet), (DLAVariation, DLA)])
def test_the_options_of_variants_are_those_of_the_nets(options, net):
    parameters = inspect.signature(net).parameters
    assert (
        options.__annotations__.items()
        <= {name: parameter.annotation for name, parameter in parameters.items()}.items()
    )
