import pytest

from common.commands.config import parse
from common.errors import UserError
from tasks.reid.config import Config


def test_flags_reach_their_fields():
    words = [
        *("--data.input_size", "[256,128]", "--data.format", "msmt17", "--data.root", "data/msmt"),
        *("--data.train_sets", '["market:a", "csv:b.csv"]', "--test.rerank", "--test.flip"),
        *("--loss.pairs", "circle", "--model.pooling", "gem", "--steady_rate"),
    ]
    config = parse(Config, words)
    assert config.data.input_size == (256, 128)
    assert config.data.train_sets == ("market:a", "csv:b.csv")
    assert str(config.data.root) == "data/msmt"
    assert config.test.rerank
    assert config.test.flip
    assert config.steady_rate
    assert (config.loss.pairs, config.model.pooling) == ("circle", "gem")


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--data.input_size", "[250,128]", "multiples of 16"),
        ("--data.pictures_per_person", "1", "2 or more"),
        ("--data.padding", "-1", "0 or more"),
        ("--data.flip_probability", "50", "from 0 to 1"),
        ("--data.erase_probability", "-1", "from 0 to 1"),
        ("--data.format", "duke", "market"),
        ("--data.cuhk03_boxes", "both", "labeled"),
        ("--model.pooling", "max", "gem"),
        ("--loss.pairs", "quadruplet", "circle"),
        ("--loss.label_smoothing", "1", "[0, 1)"),
        ("--loss.triplet_margin", "-0.1", "not be negative"),
        ("--loss.center_weight", "-1", "not be negative"),
        ("--loss.center_rate", "-1", "not be negative"),
        ("--loss.circle_margin", "1.5", "(0, 1)"),
        ("--loss.circle_scale", "0", "above 0"),
        ("--test.feature", "neck", "before"),
        ("--test.expansion", "-1", "0 or more"),
        ("--test.expansion_power", "-1", "0 or more"),
        ("--test.rerank_k1", "0", "1 or more"),
        ("--test.rerank_k2", "22", "at most rerank_k1 + 1"),
        ("--test.rerank_weight", "2", "from 0 to 1"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_flag(flag, value, allowed):
    with pytest.raises(UserError) as caught:
        parse(Config, [flag, value])
    assert flag in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)
