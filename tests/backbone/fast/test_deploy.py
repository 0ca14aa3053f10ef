"""The inference module computes what the trained one does, and folds nothing that it must not."""

import copy
import pickle
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbone import MODELS, Deployed, deploy, res2net, resnet
from backbone.fast import layers
from backbone.fast.blocks import fuse_blocks
from backbone.fast.deployed import require_compiler
from backbone.fast.layers import Convolution, PackedConvolution

SMALL = (2, 1, 1, 1)
FAMILIES = {
    "res2net": partial(res2net, SMALL, width=16),
    "two chunks": partial(res2net, SMALL, width=16, base_width=48, scale=2),
    "one chunk": partial(res2net, SMALL, width=16, scale=1),
    "v1b": partial(res2net, SMALL, width=16, stem="deep", average_shortcut=True),
    "dilated": partial(
        res2net, SMALL, width=16, average_shortcut=True, strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
    ),
    "strided": partial(res2net, SMALL, width=16, first_block="strided"),
    "summed": partial(res2net, SMALL, width=16, first_block="summed"),
    "res2next": partial(res2net, SMALL, width=32, base_width=4, cardinality=8),
    "se_res2net": partial(res2net, SMALL, width=16, squeeze_excitation=True),
    "resnet": partial(resnet, SMALL, width=16),
    "one channel": partial(res2net, SMALL, width=16, in_channels=1),
}  # fmt: skip
TOLERANCE = 1e-5


def agree(found, expected, tolerance=TOLERANCE):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert ((one - other).norm() / other.norm()).item() < tolerance


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            if part.weight is not None:
                part.weight.data.uniform_(0.3, 0.9, generator=generator)
                part.bias.data.normal_(0, 0.2, generator=generator)
    return module.eval()


def norms(module):
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def test_dla_gives_the_same_features(randomise):
    trunk, x = randomise(MODELS["dla60_res2next"]()), torch.randn(1, 3, 49, 33)
    fast = deploy(trunk)
    assert not norms(fast)
    with torch.inference_mode():
        agree(fast(x), trunk(x))


def padded(trunk):
    """As on tensor cores, but for fewer channels."""
    fast = fuse_blocks(copy.deepcopy(trunk), overwrite=True, pad_to=8)
    return deploy(fast)


@pytest.mark.parametrize("deploy", [deploy, partial(deploy, portable=True), padded])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_same_features(randomise, family, deploy):
    trunk = randomise(FAMILIES[family]())
    fast = deploy(trunk)
    assert not norms(fast)
    assert not any(part.training for part in fast.modules())
    with torch.inference_mode():
        # Weights are packed for the first size; they must do for the others as well.
        for size in ((2, 64, 48), (3, 97, 65), (1, 33, 70)):
            x = torch.randn(size[0], trunk.in_channels, *size[1:])
            agree(fast(x), trunk(x))


def test_the_argument_is_left_as_it_is(randomise):
    trunk = randomise(FAMILIES["v1b"]()).train()
    before = copy.deepcopy(trunk.state_dict())
    with torch.inference_mode():
        deploy(trunk)(torch.randn(1, 3, 32, 32))
    assert trunk.training and all(parameter.requires_grad for parameter in trunk.parameters())
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())
    assert norms(trunk)


def test_a_block_may_overwrite_only_what_is_its_own(randomise):
    trunk = randomise(FAMILIES["res2net"]())
    fast, x = deploy(trunk), torch.randn(2, 3, 64, 64)
    given = x.clone()
    with torch.inference_mode():
        first = fast(x)
        kept = [feature.clone() for feature in first]
        fast(torch.randn(2, 3, 64, 64))
    assert torch.equal(x, given)
    assert all(torch.equal(one, other) for one, other in zip(first, kept, strict=True))


@pytest.mark.parametrize("kernels", ["as here", "none"])
def test_bf16_is_near_and_in_bf16(randomise, monkeypatch, kernels):
    """Also on processors for which oneDNN has no kernels in it."""
    if kernels == "none":
        monkeypatch.setattr(layers, "_ONEDNN", (torch.float32,))
    trunk = randomise(FAMILIES["res2net"]())
    fast, x = deploy(trunk, precision="bf16"), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        found = fast(x)
        assert found.c5.dtype is torch.bfloat16
        agree([feature.float() for feature in found], trunk(x), 0.02)


def test_it_can_be_copied_saved_and_used_without_inference_mode(randomise):
    trunk = randomise(FAMILIES["res2net"]())
    fast, x = deploy(trunk), torch.randn(1, 3, 40, 40)
    with torch.inference_mode():
        expected = fast(x)
        agree(copy.deepcopy(fast)(x), expected)
        agree(pickle.loads(pickle.dumps(fast))(x), expected)
    agree([feature.detach() for feature in fast(x)], expected)


@pytest.mark.parametrize("family", ["res2net", "v1b", "se_res2net", "resnet"])
def test_gradients_of_the_input_are_the_trained_networks(randomise, family):
    trunk = randomise(FAMILIES[family]()).double()
    fast, x = deploy(trunk), torch.randn(2, 3, 64, 48, dtype=torch.double, requires_grad=True)
    found, expected = (torch.autograd.grad(net(x).c5.square().sum(), x) for net in (fast, trunk))
    agree(found, expected)


def test_without_inference_mode_it_is_as_fast(randomise):
    fast = deploy(randomise(FAMILIES["res2net"]()))
    features = fast(torch.randn(2, 3, 64, 64))
    assert not any(feature.requires_grad for feature in features)
    packed = [
        layer
        for name, layer in fast.named_modules()
        if isinstance(layer, PackedConvolution) and ".plain." not in name  # for gradients alone
    ]
    assert packed and all(layer.packed is not None for layer in packed)


class Embedder(nn.Module):
    """Its `forward` is for training alone."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False)

    def forward(self, x):
        raise ValueError("embeds only")

    def embed(self, x, scale=None):
        found = self.norm(self.layer(x))
        return found if scale is None else found * scale


def test_another_method_can_be_what_inference_calls():
    module = randomised(Embedder())
    fast, x = deploy(module, entry="embed"), torch.rand(3, 4)
    assert not norms(fast)
    with torch.inference_mode():
        agree([fast.embed(x)], [module.embed(x)])
    lower = deploy(module, entry="embed", precision="bf16")
    agree([lower(x)], [module.embed(x)], 0.05)


class Result(NamedTuple):
    scores: torch.Tensor
    auxiliary: torch.Tensor | None
    found: list[dict[str, torch.Tensor]]


class Model(nn.Module):
    """Takes and gives what whole models do."""

    classes = ("a", "b")

    def __init__(self, trunk):
        super().__init__()
        self.backbone, self.head = trunk, nn.Conv2d(trunk.channels.c5, 2, 1)

    def forward(self, images, sizes, scale=None, *, offset=0.0):
        scores = self.head(self.backbone(images).c5) + offset
        if scale is not None:
            scores = scores * scale
        pairs = zip(sizes, scores, strict=True)
        found = [{"size": size, "score": one.mean()} for size, one in pairs]
        return Result(scores, None, found)


@pytest.mark.parametrize(
    "options",
    [{"precision": "bf16"}, pytest.param({"compile": True}, marks=pytest.mark.slow)],
    ids=str,
)
def test_any_arguments_and_results_pass_through(randomise, options):
    model = randomise(Model(FAMILIES["res2net"]()))
    fast = deploy(model, **options)
    assert isinstance(fast, Deployed)
    x, sizes = torch.randn(2, 3, 64, 48), torch.tensor([[64, 48], [60, 40]])
    for given, named in (
        ((x, sizes), {}),
        ((x, sizes, 2.0), {}),
        ((x,), {"sizes": sizes, "offset": 1.0}),
    ):
        with torch.inference_mode():
            found, expected = fast(*given, **named), model(*given, **named)
        assert type(found) is Result and found.auxiliary is None
        agree([found.scores.float()], [expected.scores], 0.02)
        for one, other in zip(found.found, expected.found, strict=True):
            assert one.keys() == other.keys() and torch.equal(one["size"], other["size"])
            torch.testing.assert_close(one["score"].float(), other["score"], rtol=0, atol=0.02)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"compile": True}], ids=str)
def test_what_the_model_knows_is_read_from_the_module_within(options):
    model = randomised(Model(FAMILIES["res2net"]()))
    fast = deploy(model, **options)
    assert type(fast.module) is Model and fast.module.classes == ("a", "b")
    assert fast.module.backbone.strides == model.backbone.strides
    assert not fast.training and not norms(fast.module)


def test_convolutions_are_packed_unless_it_must_be_portable(randomise):
    trunk = randomise(FAMILIES["resnet"]())
    assert any(isinstance(part, PackedConvolution) for part in deploy(trunk).modules())
    portable = deploy(trunk, portable=True)
    assert {type(p) for p in portable.modules() if isinstance(p, nn.Conv2d)} == {Convolution}


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(ValueError, match="precision is 'fp16'; allowed: fp32, bf16"):
        deploy(nn.Conv2d(1, 1, 1), precision="fp16")

    def missing():
        from torch._inductor.exc import InvalidCxxCompiler

        raise InvalidCxxCompiler

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", missing)
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler and found none"):
        deploy(nn.Conv2d(1, 1, 1), compile=True)
    require_compiler(torch.device("cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_it_computes_the_same(randomise, family, precision):
    trunk = randomise(FAMILIES[family]())
    fast = deploy(trunk, compile=True, precision=precision)
    tolerance = 1e-5 if precision == "fp32" else 0.02
    with torch.inference_mode():
        for size in ((64, 48), (97, 65)):
            x = torch.randn(2, trunk.in_channels, *size)
            agree([feature.float() for feature in fast(x)], trunk(x), tolerance)


def test_backward_hooks_stay(randomise):
    trunk = randomise(FAMILIES["resnet"]())
    seen = []
    trunk.layer4[0].conv3.register_full_backward_hook(lambda *_: seen.append(1))
    fast = deploy(trunk)
    fast(torch.randn(1, 3, 33, 33, requires_grad=True))[-1].sum().backward()
    assert seen == [1]


def test_a_picture_without_batch_axis():
    trained = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    x = torch.randn(3, 9, 9)
    agree([deploy(trained)(x)], [trained(x)])
