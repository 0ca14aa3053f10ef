"""A module gives all of its places to another, and what is shared stays shared."""

import torch
from torch import nn

from backbone import deploy
from backbone.fast.exchange import exchange, places
from backbone.fast.layers import Convolution, PackedConvolution


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
