"""A module gives all of its places to another, and what is shared stays shared."""

import torch
from torch import nn

from backbone import Bottle2neck, deploy
from backbone.fast.exchange import exchange, places
from backbone.fast.layers import Convolution, PackedConvolution
from tests.backbone.fast.test_deploy import agree, randomised


def test_a_module_in_two_places_is_one_module_in_both():
    layer = nn.Conv2d(3, 3, 1)
    model = nn.ModuleList([nn.Sequential(layer, nn.ReLU()), layer])
    new = Convolution(layer, relu=False)
    assert exchange(model, {layer: new}) is model
    assert model[0][0] is model[1] is new
    assert places(model)[new] == 2 and places(model)[layer] == 0
    fast = deploy(model)
    assert type(fast[1]) is PackedConvolution and fast[0][0] is fast[1]


def test_a_model_that_is_exchanged_itself_is_given_back():
    old, new = nn.Conv2d(1, 1, 1), nn.Identity()
    assert exchange(old, {old: new}) is new
    assert exchange(old, {}) is old


def test_who_watched_the_old_module_watches_the_new_one():
    old, seen = nn.Conv2d(2, 2, 1), []
    handle = old.register_forward_hook(lambda module, given, result: seen.append(module))
    new = Convolution(old, relu=True)
    model = exchange(nn.Sequential(old), {old: new})
    x = torch.randn(1, 2, 3, 3)
    model(x)
    handle.remove()
    model(x)
    assert seen == [new]


class Two(nn.Module):
    """Two blocks beside each other."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.first(x) + self.second(x)


def test_blocks_that_share_a_layer_keep_their_results():
    torch.manual_seed(0)
    down = nn.Sequential(nn.Conv2d(48, 64, 1, bias=False), nn.BatchNorm2d(64))
    shortcut = [Bottle2neck(48, 64, 64, downsample=down) for _ in range(2)]
    inner = [Bottle2neck(48, 64, 48) for _ in range(2)]
    inner[1].conv1 = inner[0].conv1
    twice = Bottle2neck(48, 64, 48)
    x = torch.randn(2, 48, 9, 9)
    for pair in (shortcut, inner, [twice, twice]):
        model = randomised(Two(*pair))
        fast = deploy(model)
        with torch.inference_mode():
            agree([fast(x)], [model(x)])
    assert fast.first is fast.second and not hasattr(fast.first, "bn1")
