"""The trunk in whole models of other code bases: small invented nets with their names."""

import pytest
import torch
from safetensors.torch import save_file

from backbone import MODELS, WeightsError, load
from backbone.convert import convert
from backbone.files import read_card, whole
from backbone.layouts import first_block, trunk
from backbone.variants import res2net_v1b

HEADS = {
    "mmdetection": ("neck.lateral_convs.0.conv.weight", "rpn_head.rpn_conv.weight"),
    "mmpretrain": ("head.fc.weight", "head.fc.bias"),
    "mmpretrain, deep stem": ("head.fc.weight", "head.fc.bias"),
    "bare stem": (),
    "pranet": ("resnet.fc.weight", "resnet.fc.bias", "rfb2_1.branch0.0.conv.weight"),
    "modelscope": ("layer1_enhance.0.weight", "layer2_decoder.conv.weight", "aspp3.0.weight"),
    "fca-net": ("my_aspp.0.weight", "first_conv.weight"),
    "ours": ("head.layer1.0.weight", "fc.weight"),
}
RULES = {
    "mmdetection": "strided",
    "mmpretrain, deep stem": "pooled",
    "modelscope": "pooled",
    "fca-net": "strided",
}


def small(**options):
    torch.manual_seed(0)
    return res2net_v1b((2, 1, 1, 1), width=8, **options)


def with_stem(key):
    """mmcv's names of a deep stem."""
    if key.startswith("bn1."):
        return key.replace("bn1", "stem.7")
    return key.replace("conv1", "stem") if key.startswith("conv1.") else key


def of_modelscope(key):
    for ours, theirs in (("conv1.", "layer0_1.0."), ("bn1.", "layer0_1.1.")):
        if key.startswith(ours):
            return key.replace(ours, theirs, 1)
    return key


def of_fca_net(key):
    last = key.startswith(("layer2.", "layer3.", "layer4."))
    return f"backbone_last.{key}" if last else f"backbone_pre.{key}"


NAMES = {
    "mmdetection": lambda key: f"backbone.{with_stem(key)}",
    "mmpretrain": lambda key: f"backbone.{key}",
    "mmpretrain, deep stem": lambda key: f"backbone.{with_stem(key)}",
    "bare stem": with_stem,
    "pranet": lambda key: f"resnet.{key}",
    "modelscope": of_modelscope,
    "fca-net": of_fca_net,
    "ours": lambda key: f"backbone.{key}",
}


def published(layout, state):
    """A whole model's weights under the names of a code base."""
    renamed = {NAMES[layout](key): value for key, value in state.items()}
    assert len(renamed) == len(state)
    return {**renamed, **{key: torch.rand(3) for key in HEADS[layout]}}


@pytest.mark.parametrize("layout", NAMES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_trunk_of_a_whole_model_loads(tmp_path, layout, wrapped):
    theirs, ours = small(), small()
    for value in theirs.state_dict().values():
        value += 1
    state = published(layout, theirs.state_dict())
    content = {"meta": {"epoch": 24}, "state_dict": state} if wrapped else state
    torch.save(content, tmp_path / "whole.pth")
    loaded = load(ours, tmp_path / "whole.pth")
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key
    assert set(loaded.dropped) == ({"fc.weight", "fc.bias"} if layout == "pranet" else set())


@pytest.mark.parametrize("layout", NAMES)
def test_what_a_layout_says_of_the_rule(tmp_path, layout):
    """The layout of one code base says its rule; a renamed or common one says nothing."""
    torch.save(published(layout, small().state_dict()), tmp_path / "whole.pth")
    rule = RULES.get(layout)
    assert whole(tmp_path / "whole.pth").first_block == rule
    for own in ("pooled", "strided", "summed"):
        loaded = load(small(first_block=own), tmp_path / "whole.pth")
        assert loaded.first_block == (None if own == rule else rule)


def test_what_the_caller_knows_goes_first(tmp_path):
    save_file(published("pranet", small().state_dict()), tmp_path / "pranet.safetensors")
    trunk, file = small(first_block="strided"), tmp_path / "pranet.safetensors"
    assert load(trunk, file).first_block is None
    loaded = load(trunk, file, variant="res2net50_v1b")
    assert loaded.first_block == "pooled" and "pooled first blocks" in str(loaded)
    assert load(trunk, file, variant="res2net50_v1b_strided").first_block is None


def test_a_trunk_of_five_channels_is_said_to_be_such(tmp_path):
    torch.save(published("fca-net", small(in_channels=5).state_dict()), tmp_path / "fca.pth")
    with pytest.raises(WeightsError, match=r"fca\.pth: made for .* for input of 5 channels, does"):
        load(small(), tmp_path / "fca.pth")
    load(small(in_channels=5), tmp_path / "fca.pth")


def test_a_weight_that_a_layouts_trunk_does_not_have_is_refused(tmp_path):
    state = published("mmdetection", small().state_dict())
    torch.save({**state, "backbone.layer1.0.dcn.weight": torch.rand(2)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"1 unexpected: layer1\.0\.dcn\.weight"):
        load(small(), tmp_path / "x.pth")


def test_a_layout_is_told_by_more_than_a_beginning():
    """Other networks have a `resnet`, a `stem` and a `layer0_1`, too."""
    for key in ("resnet.conv1.weight", "stem.7.weight", "layer0_1.1.weight", "a.backbone.x"):
        state = {key: torch.ones(1)}
        assert trunk(state) == state and first_block(state) is None


def test_conversion_says_the_rule_of_the_layout(undrawn, tmp_path):
    net = MODELS["res2net50_v1b"]()
    torch.save(published("mmdetection", net.state_dict()), tmp_path / "det.pth")
    out = tmp_path / "out.safetensors"
    assert convert(tmp_path / "det.pth", out) == "res2net50_v1b_strided"
    assert read_card(out)["variant"] == "res2net50_v1b_strided"
    assert load(net, out).first_block == "strided"
