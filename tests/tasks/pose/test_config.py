import pytest

from common.commands.config import parse
from common.errors import UserError
from tasks.pose.config import Config, DataConfig


def test_sizes_of_a_recipe():
    config = DataConfig(input_size=(256, 192))
    assert config.input_wh == (192, 256)
    assert config.heatmap_wh == (48, 64)
    assert config.aspect == 0.75


def test_flags_reach_their_fields():
    words = [
        *("--data.input_size", "[256,192]", "--data.colour", "BGR", "--data.coding", "unbiased"),
        *("--data.root", "data/coco", "--test.nms", "soft"),
    ]
    config = parse(Config, words)
    assert config.data.input_size == (256, 192)
    assert config.data.colour == "BGR"
    assert config.data.unbiased
    assert str(config.data.root) == "data/coco"
    assert config.test.nms == "soft"


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--data.input_size", "[250,192]", "multiples of 32"),
        ("--data.padding", "0.9", "at least 1"),
        ("--data.sigma", "0", "above 0"),
        ("--data.scale_factor", "1.5", "[0, 1)"),
        ("--data.rotation", "-3", "0 or more"),
        ("--data.flip_probability", "50", "from 0 to 1"),
        ("--data.rotation_probability", "-1", "from 0 to 1"),
        ("--data.half_body_probability", "2", "from 0 to 1"),
        ("--data.colour", "GRB", "BGR"),
        ("--data.format", "lsp", "mpii"),
        ("--model.head_channels", "[256,256]", "three positive"),
        ("--test.nms_threshold", "9", "from 0 to 1"),
        ("--test.joint_threshold", "-1", "from 0 to 1"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_flag(flag, value, allowed):
    with pytest.raises(UserError) as caught:
        parse(Config, [flag, value])
    assert flag in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_decay_of_no_width():
    with pytest.raises(UserError, match=r"with --test\.nms soft it must be above 0"):
        parse(Config, ["--test.nms", "soft", "--test.nms_threshold", "0"])
    assert parse(Config, ["--test.nms_threshold", "0"]).test.nms_threshold == 0
