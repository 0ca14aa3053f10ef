"""Deployed networks that somebody changed, watches, copies, loads anew or calls in another way."""

import copy
import pickle

import pytest
import torch
from torch import nn

from backbone import deploy
from backbone.fast import build
from backbone.fast.blocks import FusedBottle2neck
from backbone.fast.layers import PackedConvolution
from tests.backbone.fast.test_deploy import FAMILIES, agree, randomised

X = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trunk():
    return randomised(FAMILIES["res2net"]())


def reflect(block):
    for layer in block.convs:
        layer.padding_mode = "reflect"
        layer._reversed_padding_repeated_twice = [1, 1, 1, 1]


def dilate_one(block):
    block.convs[1].dilation = block.convs[1].padding = (2, 2)


def pool_inside(block):
    block.pool.count_include_pad = False


CHANGES = {"pooled": (pool_inside, 0), "reflected": (reflect, 1), "dilated": (dilate_one, 1)}
"""Each with the number of a block in the first stage."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_block_that_is_not_the_papers_keeps_its_own_results(trunk, change):
    apply, place = CHANGES[change]
    apply(trunk.layer1[place])
    with torch.inference_mode():
        agree(deploy(trunk)(X), trunk(X))


def test_compiled_such_blocks_keep_theirs(trunk):
    """One after the other, so that a single compilation shows it of all."""
    blocks = []
    for apply, place in CHANGES.values():
        blocks.append(copy.deepcopy(trunk.layer1[place]))
        apply(blocks[-1])
    chain, x = nn.Sequential(*blocks), torch.randn(2, 16, 9, 7)
    with torch.inference_mode():
        agree([deploy(chain, compile=True)(x)], [chain(x)])


def test_a_block_that_is_watched_stays_and_so_does_what_its_watcher_sees(trunk):
    block, seen = trunk.layer2[0], []
    block.register_forward_hook(lambda _, given, result: seen.append(result))
    block.downsample.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    fast = deploy(trunk)
    assert not seen  # nobody is called while it is deployed
    assert not isinstance(fast.layer2[0], FusedBottle2neck)
    with torch.inference_mode():
        trunk(X)
        expected = seen.copy()
        seen.clear()
        fast(X)
    assert len(expected) == 2
    agree(seen, expected)


def test_a_layer_that_is_watched_keeps_its_relu_apart():
    model, seen = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval(), []
    model[0].register_forward_hook(lambda _, given, result: seen.append(result.clone()))
    fast = deploy(model)
    with torch.inference_mode():
        agree([fast(X)], [model(X)])
    agree(seen[:1], seen[1:])


def test_a_deployed_block_that_is_watched_stays_when_it_is_deployed_again(trunk, monkeypatch):
    monkeypatch.setattr(
        build, "built_already", lambda width: False
    )  # of layers that can be watched
    fast, seen = deploy(trunk), []
    fast.layer1[1].convs[0].register_forward_hook(lambda _, given, result: seen.append(result))
    again = deploy(fast, compile=True)
    assert type(again.module.layer1[1]) is FusedBottle2neck
    again.compiles = False
    again._prepare()
    with torch.inference_mode():
        agree(again(X), trunk(X))
    assert len(seen) == 1


def test_a_hook_of_a_part_around_layers_is_not_called_with_symbols():
    head = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    model, seen = randomised(nn.Sequential(head, nn.Conv2d(8, 4, 1))), []
    head.register_forward_hook(lambda _, given, result: seen.append(result))
    fast = deploy(model)
    assert not seen
    with torch.inference_mode():
        agree([fast(X)], [model(X)])
    assert len(seen) == 2 and all(type(one) is torch.Tensor for one in seen)


class Keeping(nn.Module):
    """A model that keeps its last features, as some do for their pictures."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.kept = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), None

    def forward(self, x):
        self.kept = self.norm(self.layer(x))
        self.more = self.kept.relu()
        return self.more


def test_what_a_method_keeps_is_no_symbol():
    fast = deploy(randomised(Keeping()))
    assert fast.kept is None and not hasattr(fast, "more")
    assert isinstance(fast.norm, nn.Identity)
    pickle.dumps(fast)


@torch.inference_mode()
def test_weights_that_are_loaded_later_are_the_ones_that_count(trunk):
    first, second = deploy(trunk), deploy(randomised(FAMILIES["res2net"](), seed=1))
    first(X)
    first.load_state_dict(second.state_dict())
    agree(first(X), second(X))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_have_plain_kernels(trunk, dtype):
    trunk = trunk.to(dtype)
    agree(
        [one.double() for one in deploy(trunk)(X.to(dtype))],
        [one.double() for one in trunk(X.to(dtype))],
        1e-5 if dtype is torch.float64 else 1e-2,
    )


def test_a_deployed_network_can_become_portable(trunk):
    fast = deploy(deploy(trunk), portable=True)
    assert not any(isinstance(layer, PackedConvolution) for layer in fast.modules())
    with torch.inference_mode():
        agree(fast(X), trunk(X))
        agree(torch.export.export(fast, (X,)).module()(X), trunk(X))


@torch.inference_mode()
def test_a_copy_of_a_compiled_network_has_its_own_weights(trunk):
    fast = deploy(trunk.layer1, compile=True)
    x = torch.randn(1, 16, 9, 9)
    expected = fast(x).clone()
    for again in (copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))):
        other = again(fast)
        agree([other(x)], [expected])
        for buffer in [*other.parameters(), *other.buffers()]:
            buffer.zero_()
        changed = again(other)
        assert changed(x).abs().max() <= x.abs().max()  # what is left is the first input's ReLU
        agree([fast(x)], [expected])


@torch.inference_mode()
def test_arguments_may_be_named(trunk):
    agree([one.float() for one in deploy(trunk, precision="bf16")(x=X)], trunk(x=X), 0.02)


def test_a_method_that_is_not_there_is_named(trunk):
    with pytest.raises(ValueError, match="entry is 'froward'; needed: a method of Res2Net"):
        deploy(trunk, entry="froward")
