"""The rules of a first block, against hand-written ones, and how they travel with weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbone import MODELS, Bottle2neck, Trunk, detect, load, res2net
from backbone.export import export
from backbone.files import read_card
from backbone.variants import first_block_of, full_name, plain_name
from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError

SMALL = (2, 1, 1, 1)


def averaged(x, stride, counted):
    """The mean of each 3x3 window, with or without the zeros beyond the border."""
    total = F.conv2d(x, torch.ones(x.shape[1], 1, 3, 3), None, stride, 1, groups=x.shape[1])
    there = F.conv2d(torch.ones_like(x[:1, :1]), torch.ones(1, 1, 3, 3), None, stride, 1)
    return total / (9 if counted else there)


def without_strides(block):
    """A copy whose convolutions keep the size."""
    block = copy.deepcopy(block)
    for layer in (block.conv1, *block.convs):
        layer.stride = (1, 1)
    return block


def by_hand(block, x, rule, stride):
    """The chunks of a first block under each rule, as the other code bases' words have it."""
    relu = torch.relu
    if rule == "unpooled":  # every other row and column is left out before all else
        x, stride = x[..., ::stride, ::stride], 1
        block = without_strides(block)
    x = relu(block.bn1(block.conv1(x))).chunk(block.scale, 1)
    results = []
    for index in range(block.scale - 1):
        sums = rule == "summed" and stride == 1 and index > 0
        given = x[index] + results[-1] if sums else x[index]
        results.append(relu(block.bns[index](block.convs[index](given))))
    pooled = rule != "unpooled" and (rule == "pooled" or stride > 1)
    results.append(averaged(x[-1], stride, rule != "summed") if pooled else x[-1])
    return block.bn3(block.conv3(torch.cat(results, 1)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rule", ["pooled", "strided", "summed", "unpooled"])
def test_a_first_block_follows_its_rule(randomise, rule, stride):
    downsample = nn.Conv2d(24, 24, 1, stride)
    block = randomise(
        Bottle2neck(24, 16, 24, stride=stride, downsample=downsample, first_block=rule)
    )
    x = torch.randn(2, 24, 11, 14)
    with torch.no_grad():
        expected = torch.relu(by_hand(block, x, rule, stride) + downsample(x))
        torch.testing.assert_close(block(x), expected)


def test_other_blocks_follow_no_such_rule(randomise):
    blocks = [randomise(Bottle2neck(24, 6, 24, first_block=rule)) for rule in ("pooled", "summed")]
    blocks[1].load_state_dict(blocks[0].state_dict())
    x = torch.randn(1, 24, 9, 9)
    assert torch.equal(blocks[0](x), blocks[1](x))


def test_a_stage_may_have_a_dilation_for_each_block():
    trunk = res2net((1, 1, 2, 3), width=8, strides=(1, 2, 2, 1), dilations=(1, 1, 2, (2, 4, 8)))
    assert [block.convs[0].dilation[0] for block in trunk.layer4] == [2, 4, 8]
    assert [block.convs[0].dilation[0] for block in trunk.layer3] == [1, 2]
    assert trunk.eval()(torch.zeros(1, 3, 64, 64)).c5.shape[2:] == (4, 4)
    with pytest.raises(ValueError, match=r"one for each of its blocks \(3"):
        res2net((1, 1, 2, 3), width=8, dilations=(1, 1, 1, (2, 4)))


@pytest.mark.parametrize("average", [True, False])
def test_whether_a_dilated_stages_shortcut_averages(average):
    trunk = res2net(
        SMALL, width=8, stem="deep", average_shortcut=True, strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2), average_dilated=average,
    ).eval()  # fmt: skip
    pool, x = trunk.layer4[0].downsample[0], torch.randn(1, 4, 6, 6)
    assert torch.equal(pool(x), x) is not average


@pytest.mark.parametrize("name", [name for name in MODELS if first_block_of(name) != "pooled"])
def test_names_say_the_rule_and_shapes_the_rest(name):
    with torch.device("meta"):
        trunk = MODELS[name]()
    assert trunk.first_block == first_block_of(name)
    assert detect(trunk.state_dict()) == plain_name(name)
    assert full_name(plain_name(name), first_block_of(name)) == name


def run_of(folder, name):
    """The run of a task, with nothing but a trunk; and the trunk."""
    trunk = MODELS[name]()
    state = {f"backbone.{key}": value for key, value in trunk.state_dict().items()}
    config = f"backbone: {name}\nweights: null\n"
    progress = {"epoch": 1}
    folder.mkdir()
    payload = {"format": 1, "model": state, "ema": None, "progress": progress, "config": config}
    torch.save(payload, folder / "best.pt")
    return trunk


@pytest.fixture
def strided(undrawn, tmp_path):
    run_of(tmp_path / "run", "res2net50_v1b_strided")
    return tmp_path / "run"


def test_weights_of_another_rule_are_said_to_be_such(strided, tmp_path, capfd):
    out = tmp_path / "out.safetensors"
    assert export(strided, out) == read_card(out)["variant"] == "res2net50_v1b_strided"
    for source in (strided, out):
        loaded = load(MODELS["res2net50_v1b"](), source)
        assert loaded.first_block == "strided" and "strided first blocks" in str(loaded)
        assert load(MODELS["res2net50_v1b_strided"](), source).first_block is None
    trained.load_trunk(MODELS["res2net50_v1b"](), str(out))
    assert "its own is --backbone res2net50_v1b_strided" in "".join(capfd.readouterr())


class Model(nn.Module):
    """As a task's, without a head."""

    def __init__(self, backbone: Trunk) -> None:
        super().__init__()
        self.backbone = backbone


def test_a_whole_model_of_another_rule_is_refused(strided):
    weights = trained.read("--finetune", strided, lambda state: None)
    assert isinstance(weights, Trained) and weights.backbone == "res2net50_v1b_strided"
    trained.load(Model(MODELS["res2net50_v1b_strided"]()), weights, lambda wrong, state: "")
    with pytest.raises(UserError, match="say --backbone res2net50_v1b_strided"):
        trained.load(Model(MODELS["res2net50_v1b"]()), weights, lambda wrong, state: "")
