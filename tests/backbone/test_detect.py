"""The variant read off shapes, and the message when weights meet the wrong trunk."""

from functools import partial
from itertools import permutations

import pytest
import torch
import torchvision

from backbone import MODELS, WeightsError, detect, hint, res2net, resnet
from backbone.variants import plain_name
from backbone.weights import check


@pytest.fixture(scope="module")
def states():
    with torch.device("meta"):
        return {name: build().state_dict() for name, build in MODELS.items()}


def test_every_variant_is_recognised(states):
    assert {name: detect(state) for name, state in states.items()} == {
        name: plain_name(name) for name in MODELS
    }


def test_each_variant_is_refused_by_all_others(states):
    for ours, theirs in permutations(sorted({plain_name(name) for name in MODELS}), 2):
        with pytest.raises(WeightsError) as caught:
            check(states[ours], states[theirs], "weights.pth")
        message = str(caught.value)
        assert message.startswith(f"weights.pth: made for {theirs}, does not fit {ours};")
        assert "\n" not in message
        assert message.count(", ") < 60


@pytest.mark.parametrize(
    ("build", "description"),
    [
        (partial(MODELS["res2net26_14w_4s"], width=16), "res2net26_14w_4s of width 16"),
        (
            partial(MODELS["res2net50_26w_4s"], in_channels=1),
            "res2net50_26w_4s for input of 1 channel",
        ),
        (partial(res2net, (3, 4, 6, 3), base_width=20, scale=5), "res2net50_20w_5s"),
        (partial(res2net, (3, 4, 6, 3), scale=1, base_width=64), "res2net50_64w_1s"),
        (partial(res2net, (3, 4, 6, 3), scale=2, base_width=32), "res2net50_32w_2s"),
        (partial(res2net, (1, 1, 1, 1)), "res2net14 with 1-1-1-1 blocks_26w_4s"),
        (
            partial(res2net, (3, 4, 6, 3), base_width=6, scale=4, cardinality=8),
            "res2next50_6w_4s_8c",
        ),
        (
            partial(res2net, (3, 4, 6, 3), base_width=18, stem="deep", average_shortcut=True),
            "res2net50_v1b_18w_4s",
        ),
        (partial(resnet, (3, 4, 6, 3), stem="deep", average_shortcut=True), "resnet50d"),
        (torchvision.models.resnet18, "resnet18"),
        (torchvision.models.resnet152, "resnet152"),
        (torchvision.models.resnext50_32x4d, "resnet50 with 32 groups"),
        (torchvision.models.wide_resnet50_2, "resnet50 with blocks of width 128"),
    ],
)
def test_other_nets_are_described(build, description):
    with torch.device("meta"):
        assert detect(build().state_dict()) == description


def test_what_is_no_trunk_is_refused():
    with pytest.raises(WeightsError, match="not the weights of"):
        detect(torchvision.models.alexnet().state_dict())
    with pytest.raises(WeightsError, match="not the weights of"):
        detect({})


def test_a_hint_for_weights_of_a_whole_model():
    state = {f"backbone.{key}": value for key, value in MODELS["resnet50"]().state_dict().items()}
    assert (
        hint(["backbone.conv1.weight"], state) == "; their backbone looks like --backbone resnet50"
    )
    expected = "; their backbone looks like --backbone resnet50"
    assert hint(["backbone.conv1.weight"], state) == expected
    assert hint(["head.weight"], state) == ""
    lone = {"backbone.x": state["backbone.bn1.bias"]}
    assert "none that this project knows" in hint(["backbone.x"], lone)


def test_relatives_and_odd_shapes_are_no_weights_of_ours(states):
    state = dict(states["resnet50"])
    for change in (
        {"layer1.0.conv2.weight": None},  # as ResNeSt, whose blocks have other layers there
        {"conv1.weight": torch.zeros(3)},
        {"layer1.0.conv2.weight": torch.zeros(64, 0, 3, 3), "bn1.weight": torch.zeros(3)},
    ):
        changed = {key: value for key, value in (state | change).items() if value is not None}
        with pytest.raises(WeightsError, match="not the weights of a ResNet, Res2Net or DLA"):
            detect(changed)


def test_flattened_weights_are_no_trunk_and_the_source_is_named(states):
    state = {key: value.flatten() for key, value in states["resnet50"].items()}
    with pytest.raises(WeightsError, match=r"^x\.pth: these are not the weights"):
        detect(state, "x.pth")
    state = {key: value.new_zeros(()) for key, value in states["resnet50"].items()}
    with pytest.raises(WeightsError, match=r"^these are not the weights"):
        detect(state)
