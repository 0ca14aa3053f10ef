"""What can be set, and what is refused."""

import pytest

from common.commands import config
from common.errors import UserError
from tasks.segmentation.config import Config


def test_lists_and_nested_lists_on_the_command_line(tmp_path):
    words = ["--data.classes", "[road, car]", "--data.palette", "[[128, 64, 128], [0, 0, 142]]"]
    words += ["--test.window", "[769, 769]", "--test.scales", "[0.5, 1, 1.5]"]
    found = config.parse(Config, words)
    assert found.data.classes == ("road", "car")
    assert found.data.palette == ((128, 64, 128), (0, 0, 142))
    assert found.test.window == (769, 769)
    assert found.test.scales == (0.5, 1, 1.5)
    config.save(found, tmp_path / "config.yaml")
    assert config.read(Config, tmp_path / "config.yaml") == found


def test_several_values_of_a_class(tmp_path):
    found = config.parse(Config, ["--data.values", "{sky: 0, road: [7, 8], car: 26}"])
    assert found.data.named_classes == ("sky", "road", "car")
    assert found.data.label_values == ((0,), (7, 8), (26,))
    config.save(found, tmp_path / "config.yaml")
    assert config.read(Config, tmp_path / "config.yaml") == found
    words = ["--data.values", "{sky: 0, road: [7, 8]}", "--data.classes", "[road, sky]"]
    assert config.parse(Config, words).data.label_values == ((7, 8), (0,))
    found = config.parse(Config, ["--data.palette", "{a: [[1, 2, 3], [4, 5, 6]], b: [[0, 0, 0]]}"])
    assert found.data.label_colours == (((1, 2, 3), (4, 5, 6)), ((0, 0, 0),))
    assert found.data.named_classes == ("a", "b")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--data.values", "{a: [1, 2], b: 2}"),
        ("--data.values", "{a: [1, 256], b: 2}"),
        ("--data.values", "{a: [], b: 2}"),
        ("--data.palette", "{a: [[0, 0, 0]], b: [[0, 0, 0]]}"),
        ("--data.crop_size", "[0, 10]"),
        ("--data.short_side", "-1"),
        ("--data.scales", "[2.0, 0.5]"),
        ("--data.scales", "[0, 1]"),
        ("--data.scales", "[1, .inf]"),
        ("--test.scales", "[.inf]"),
        ("--data.flip_probability", "1.5"),
        ("--data.blur_probability", "-0.1"),
        ("--data.ignore_index", "256"),
        ("--data.ignore_index", "-1"),
        ("--data.values", "[1, 300]"),
        ("--data.values", "[1, 1]"),
        ("--data.palette", "[[0, 0, 0], [0, 0, 256]]"),
        ("--data.palette", "[[0, 0, 0], [0, 0, 0]]"),
        ("--data.palette", "[[0, 0], [1, 1]]"),
        ("--data.classes", "[road]"),
        ("--data.classes", "[road, road]"),
        ("--data.format", "coco"),
        ("--model.decoder", "segnet"),
        ("--model.output_stride", "4"),
        ("--model.channels", "40"),
        ("--model.atrous_rates", "[6, 12]"),
        ("--model.dropout", "1"),
        ("--loss.dice", "-1"),
        ("--loss.hard_threshold", "0"),
        ("--loss.hard_share", "2"),
        ("--test.scales", "[]"),
        ("--test.scales", "[0.5, -1]"),
        ("--test.window", "[0, 10]"),
        ("--test.overlap", "1"),
        ("--test.short_side", "-5"),
    ],
)
def test_what_is_impossible_is_refused_by_the_flag_s_name(flag, value):
    with pytest.raises(UserError) as caught:
        config.parse(Config, [flag, value])
    assert flag.removeprefix("--") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.classes", "[a, b]", "--data.values", "[1, 2, 3]"], "3 entries for 2 classes"),
        (["--data.classes", "[a, b]", "--data.palette", "[[1, 2, 3]]"], "1 entries for 2 classes"),
        (["--data.classes", "[a, b]", "--data.values", "{a: 1, c: 2}"], "the classes are a, b"),
        (["--data.format", "list", "--data.sbd", "sbd"], "--data.sbd sbd"),
        (["--loss.cross_entropy", "0", "--loss.dice", "0"], "--loss.dice are both 0"),
        (["--weights", "a", "--finetune", "b"], "--weights and --finetune"),
    ],
)
def test_what_does_not_go_together(words, message):
    with pytest.raises(UserError, match=message.replace("-", r"\-").replace(".", r"\.")):
        config.parse(Config, words)
