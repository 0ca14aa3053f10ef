"""Published networks: equal to what their authors' code gives, rule by rule."""

import copy
import functools
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbone import MODELS
from benchmarks.golden import compare, salient
from tasks.salient.networks import inspyrenet, parts, receptive, senet
from tasks.salient.networks.parts import Normed
from tasks.salient.published import LAYOUT
from tests.tasks.salient.recorded import entries, state_of
from tests.tasks.salient.test_model import empty, refusal


class Recorded:
    """A published network with the weights by name, what its trunk gives, and what is recorded."""

    def __init__(self, name):
        self.model = salient.loaded(name, state_of(name))
        self.recorded = entries()[name]["outputs"]
        self.outputs = salient.OUTPUTS[name]
        self.trunk = self.model.backbone
        with torch.inference_mode():
            found = self.outputs(self.model)  # this fills the trunk's memory
        self.first = compare.difference(found, self.recorded)

    def difference(self):
        """The largest one to the recorded outputs, of the head as it is now."""
        head = self.model.head
        if isinstance(head, inspyrenet.InSPyReNetHead):
            return self._of_coarse_laplacians(head)
        # What asks the head twice gets the same.
        once = mock.patch.object(head, "forward", functools.cache(head.forward))
        with torch.inference_mode(), once:
            return compare.difference(self.outputs(self.model), self.recorded)

    def _of_coarse_laplacians(self, head):
        """Of the first two Laplacian maps: the step of the last takes most of the time."""
        finest, second, first = head.attention
        found = []

        def stop(*_):
            raise Enough

        def keep(step, given, result):
            found.append(result[1])

        hooks = [step.register_forward_hook(keep) for step in (first, second)]
        hooks.append(finest.register_forward_pre_hook(stop))
        with torch.inference_mode(), pytest.raises(Enough):
            self.outputs(self.model)
        for hook in hooks:
            hook.remove()
        return compare.difference(found, self.recorded[4:6])


class Enough(Exception):
    """What is asked for is there."""


class Remembering(nn.Module):
    """A trunk that is asked once for each input."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.known = trunk, None

    def forward(self, x):
        if self.known is None:
            self.known = self.trunk(x)
        return self.known


@functools.cache
def network(name):
    found = Recorded(name)
    found.model.backbone = Remembering(found.trunk)
    return found


@pytest.fixture(params=salient.RECIPES)
def each(request):
    return network(request.param)


def test_the_authors_outputs_come_out(each):
    assert each.first < compare.BAR


def decoder_without_aligned_corners(head, monkeypatch):
    resize = functools.partial(receptive.resize, align_corners=False)
    monkeypatch.setattr(receptive, "resize", resize)


def relu_in_the_blocks(head, monkeypatch):
    for part in head.receptive.modules():
        if isinstance(part, Normed):
            monkeypatch.setattr(part, "relu", nn.ReLU())


def the_other_third_product(head, monkeypatch):
    monkeypatch.setattr(head.decoder, "neighbour", not head.decoder.neighbour)


def relu_after_the_first_convolution(head, monkeypatch):
    monkeypatch.setattr(head.reverse[0][0], "relu", nn.ReLU())


def relu_after_the_score(head, monkeypatch):
    monkeypatch.setattr(head.reverse[2][-1], "relu", nn.ReLU())


def guide_before_the_groups(head, monkeypatch):
    block = head.reverse[2][0]
    first = copy.deepcopy(block.conv)
    first.weight.data = first.weight.data.roll(-1, dims=1)
    monkeypatch.setitem(block._modules, "conv", first)


def groups_in_another_order(head, monkeypatch):
    monkeypatch.setitem(head.enhance[1].groups._modules, "0", head.enhance[1].groups[1])


def area_with_other_corners(head, monkeypatch):
    resize = functools.partial(parts.resize, align_corners=False)
    monkeypatch.setattr(senet, "resize", lambda x, size, **_: resize(x, size))


def deep_features_with_aligned_corners(head, monkeypatch):
    monkeypatch.setattr(senet, "resize", lambda x, size, **_: parts.resize(x, size))


def mean_and_maximum_exchanged(head, monkeypatch):
    for group in head.enhance[0].groups:
        first = copy.deepcopy(group.spatial)
        first[0].weight.data = first[0].weight.data.flip(1)
        monkeypatch.setitem(group._modules, "spatial", first)


def context_without_its_mean(head, monkeypatch):
    monkeypatch.setitem(head.context[1]._modules, "whole", Nothing(head.context[1].whole))


class Nothing(nn.Module):
    """Zeros in the place of what a layer gives."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, features):
        return 0 * self.layer(features)


def features_read_by_channel(head, monkeypatch):
    """As if pixels and channels had been transposed before they are read."""

    def read(self, *shape):
        return self.flatten(2).transpose(1, 2) if shape[-1] == -1 else reshape(self, *shape)

    reshape = torch.Tensor.reshape
    attend = inspyrenet.ScaleAttention.forward

    def forward(self, *inputs):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "reshape", read)
            return attend(self, *inputs)

    monkeypatch.setattr(inspyrenet.ScaleAttention, "forward", forward)


def stem_without_its_pool(head, monkeypatch):
    averaged = functools.partial(F.avg_pool2d, kernel_size=3, stride=2, padding=1)
    monkeypatch.setattr(inspyrenet.F, "max_pool2d", lambda x, *_, **__: averaged(x))


BROKEN = [
    ("pranet", decoder_without_aligned_corners),
    ("pranet", relu_after_the_first_convolution),
    ("inf_net", relu_in_the_blocks),
    ("inf_net", the_other_third_product),
    ("inf_net", relu_after_the_score),
    ("sinet_v2", the_other_third_product),
    ("sinet_v2", guide_before_the_groups),
    ("modelscope_res2net_salient", groups_in_another_order),
    ("modelscope_res2net_salient", area_with_other_corners),
    ("modelscope_res2net_salient", deep_features_with_aligned_corners),
    ("modelscope_res2net_salient", mean_and_maximum_exchanged),
    ("modelscope_res2net_salient", context_without_its_mean),
    ("inspyrenet_res2net50", features_read_by_channel),
    ("inspyrenet_res2net50", stem_without_its_pool),
]


def test_whole_rules_are_not_seen():
    assert network("inspyrenet_res2net50").difference() < compare.BAR


@pytest.mark.parametrize(("name", "rule"), BROKEN)
def test_a_broken_rule_is_seen(name, rule, monkeypatch):
    found = network(name)
    rule(found.model.head, monkeypatch)
    assert found.difference() > 2 * compare.BAR


def trunk_with_weights_of(trunk, variant, **rules):
    """Another trunk with the same weights, which it shares."""
    with torch.device("meta"):
        other = MODELS[variant](**rules)
    other.load_state_dict(trunk.state_dict(), assign=True)
    return other.eval()


def test_another_rule_of_first_blocks_is_seen():
    found = network("sinet_v2")
    strided = trunk_with_weights_of(found.trunk, "res2net50_v1b_strided")
    x = compare.picture(64, 64, batch=1)
    with torch.inference_mode():
        assert not torch.allclose(strided(x).c2, found.trunk(x).c2, rtol=1e-2)


@pytest.fixture(scope="module")
def deepest():
    """A picture, and what InSPyReNet's trunk makes of it in its last stage."""
    x = compare.picture(288, 288, batch=1)
    with torch.inference_mode():
        return x, network("inspyrenet_res2net50").trunk(x).c5


@pytest.mark.parametrize(
    "broken", [{"dilate_first": False}, {"dilations": (1, 1, 2, 4)}, {"average_dilated": True}]
)
def test_other_dilations_are_seen(broken, deepest):
    """Layer 3 and each block of layer 4 look further apart, from the first block on."""
    found, (x, expected) = network("inspyrenet_res2net50"), deepest
    rules = {"dilations": (1, 1, 2, (4, 8, 16)), "dilate_first": True, "average_dilated": False}
    other = trunk_with_weights_of(found.trunk, "res2net50_v1b", **{**rules, **broken})
    with torch.inference_mode():
        same = torch.allclose(other(x).c5, expected, rtol=1e-2)
    # Where every stage strides there is no dilation that an average could be taken for.
    assert same == ("average_dilated" in broken)


def shapes_of(name):
    """A published file without its values."""
    published = entries()[name]["shapes"]
    return {key: torch.empty(shape, device="meta") for key, shape in published.items()}


@pytest.mark.parametrize("name", salient.RECIPES)
def test_all_keys_are_ours_and_the_unused_are_left_out_by_name(name):
    published = shapes_of(name)
    translated = LAYOUT.translate(published)
    own = network(name).model.state_dict()
    own = {key.replace("backbone.trunk.", "backbone."): value for key, value in own.items()}
    assert {key: value.shape for key, value in translated.items()} == {
        key: value.shape for key, value in own.items()
    }
    left_over = LAYOUT.translate({**published, "fancy.weight": torch.zeros(1)})
    assert "fancy.weight" in left_over


def test_a_file_of_another_network_names_it():
    names, backbone = ("pranet", "inf_net"), "res2net50_v1b"
    translated = {name: LAYOUT.translate(shapes_of(name)) for name in names}
    message = refusal(empty(backbone, network="infnet"), translated["pranet"])
    assert "say --model.network pranet" in message
    message = refusal(empty(backbone, network="pranet"), translated["inf_net"])
    assert "say --model.network infnet" in message
    message = refusal(empty(backbone, 0.1), translated["pranet"])
    assert "say --model.network pranet" in message
    message = refusal(empty(backbone, 0.5, network="pranet"), translated["pranet"])
    assert "looks like --model.head_width 1 " in message
    message = refusal(empty("res2net50_26w_4s", network="pranet"), translated["pranet"])
    assert "looks like --backbone res2net50_v1b " in message
    message = refusal(empty(backbone, network="sinetv2"), empty(backbone, 0.1).state_dict())
    assert "say --model.network poolnet" in message
    cut = {k: v for k, v in translated["pranet"].items() if k != "head.reverse.1.0.conv.weight"}
    message = refusal(empty(backbone, network="pranet"), cut)
    assert "1 missing: head.reverse.1.0.conv.weight" in message
