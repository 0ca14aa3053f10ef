import pytest

from common.commands.config import parse
from common.errors import UserError
from tasks.salient.config import Config


def test_flags_reach_their_fields():
    words = [
        *("--data.root", "data", "--data.test_sets", "[ECSSD, mine=a:b]", "--data.fit", "native"),
        *("--data.colour", "BGR", "--model.normalisation", "caffe", "--model.edge", "true"),
        *("--loss.reduction", "sum", "--loss.ssim", "0.5"),
    ]
    config = parse(Config, words)
    assert str(config.data.root) == "data"
    assert config.data.test_sets == ("ECSSD", "mine=a:b")
    assert config.data.fit == "native"
    assert (config.data.colour, config.model.normalisation) == ("BGR", "caffe")
    assert config.model.edge
    assert (config.loss.reduction, config.loss.ssim) == ("sum", 0.5)


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--data.input_size", "[0, 32]", "must be positive"),
        ("--data.test_sets", "[]", "at least one"),
        ("--data.fit", "crop", "stretch"),
        ("--data.colour", "GRB", "BGR"),
        ("--data.flip_probability", "50", "from 0 to 1"),
        ("--data.least_crop", "0", "(0, 1]"),
        ("--data.light", "1", "[0, 1)"),
        ("--model.head_width", "0", "above 0"),
        ("--model.head_width", ".inf", "at most 16"),
        ("--model.normalisation", "zero", "caffe"),
        ("--model.network", "unet", "pranet"),
        ("--model.resize_maps", "bytes", "levels"),
        ("--data.resampling", "cubic", "antialiased"),
        ("--loss.main", "dice", "structure"),
        ("--loss.sides", "-1", "0 or more"),
        ("--loss.reduction", "none", "mean"),
        ("--loss.iou", "-1", "0 or more"),
        ("--loss.ssim", "-1", "0 or more"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_flag(flag, value, allowed):
    with pytest.raises(UserError) as caught:
        parse(Config, [flag, value])
    assert flag in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_poolnet_has_an_edge_branch():
    words = ["--model.edge", "true", "--model.network", "infnet"]
    with pytest.raises(UserError, match=r"^--model\.edge true: infnet has no edge branch"):
        parse(Config, words)


def test_single_pictures_are_too_few_for_senet():
    words = ["--model.network", "senet", "--engine.batch_size", "4", "--engine.accumulate", "4"]
    with pytest.raises(UserError, match=r"--model\.network senet: .* say a greater --engine"):
        parse(Config, words).check(ranks=1)
    parse(Config, [*words[:-1], "2"]).check(ranks=1)


def test_native_pictures_go_one_by_one():
    words = ["--data.fit", "native", "--engine.batch_size", "12", "--engine.accumulate", "3"]
    config = parse(Config, words)
    config.check(ranks=4)
    with pytest.raises(UserError, match=r"--data\.fit native: .* --engine\.accumulate 6"):
        config.check(ranks=2)
    words[3] = "10"
    with pytest.raises(UserError, match=r"say --engine\.batch_size 8 --engine\.accumulate 2$"):
        parse(Config, words).check(ranks=4)
    parse(Config, [*words[:3], "8", *words[4:-1], "2"]).check(ranks=4)
    parse(Config, ["--engine.batch_size", "12"]).check(ranks=1)
