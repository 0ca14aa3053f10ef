import pytest

from common.commands.config import parse
from common.errors import UserError
from tasks.speaker.config import Config


def test_flags_reach_their_fields():
    words = [
        *("--data.speeds", "[1.0,0.9,1.1]", "--data.trials", "[a.txt,b.txt]"),
        *("--data.train", "train_list.txt", "--data.noise", "musan", "--loss.ramp", "[20,40]"),
        *("--test.scoring", "as-norm", "--model.pooling", "attentive"),
    ]
    config = parse(Config, words)
    assert config.data.speeds == (1.0, 0.9, 1.1)
    assert [str(path) for path in config.data.trials] == ["a.txt", "b.txt"]
    assert str(config.data.train) == "train_list.txt"
    assert config.loss.ramp == (20, 40)
    assert config.test.scoring == "as-norm"
    assert config.model.pooling == "attentive"


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--data.seconds", "0.2", "at least 0.5"),
        ("--data.seconds", ".inf", "at most 3600"),
        ("--test.seconds", "[.inf]", "at most 3600"),
        ("--data.trials", "[]", "at least one"),
        ("--data.speeds", "[0.9,1.1]", "begin with 1.0"),
        ("--data.speeds", "[1.0,0.9,0.9]", "each speed once"),
        ("--data.speeds", "[1.0,5.0]", "from 0.5 to 2"),
        ("--data.augment_probability", "60", "from 0 to 1"),
        ("--data.mask_probability", "-1", "from 0 to 1"),
        ("--data.dither", "-1", "not be negative"),
        ("--data.time_mask", "-1", "not be negative"),
        ("--model.bins", "0", "at least 1"),
        ("--model.width", "2", "at least 4"),
        ("--model.wave_scale", "0", "above 0"),
        ("--model.floor", "0", "above 0"),
        ("--data.channel", "second", "first"),
        ("--model.strides", "[1,2,2,0]", "from 1 on"),
        ("--model.strides", "[2,2,2,4]", "join 64 frames into one"),
        ("--model.window", "hann", "povey"),
        ("--model.pooling", "average", "attentive"),
        ("--loss.name", "softmax", "aam"),
        ("--loss.margin", "3", "from 0 to 1.5"),
        ("--loss.scale", "0", "above 0"),
        ("--loss.initial_scale", "-2", "above 0"),
        ("--loss.ramp", "[40,20]", "such as [20, 40]"),
        ("--test.seconds", "[0.1]", "at least 0.5"),
        ("--test.seconds", "[]", "at least 0.5"),
        ("--test.scoring", "plda", "as-norm"),
        ("--test.top", "1", "at least 2"),
        ("--test.cohort_utterances", "-1", "not be negative"),
        ("--new_speakers", "true", "--finetune"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_flag(flag, value, allowed):
    with pytest.raises(UserError) as caught:
        parse(Config, [flag, value])
    assert flag in str(caught.value)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)
