import pytest

from common.commands.config import parse, read, save
from common.errors import UserError
from tasks.classification.config import Config, DataConfig, LossConfig


def test_flags_reach_their_fields():
    words = [
        *("--data.input_size", "160", "--data.scale", "[0.2, 0.9]", "--data.format", "shards"),
        *("--loss.mixup", "0.2", "--test.crop", "0.875", "--model.max_pool", "false"),
    ]
    config = parse(Config, words)
    assert config.data.input_size == 160
    assert config.data.scale == (0.2, 0.9)
    assert config.data.format == "shards"
    assert config.loss == LossConfig(mixup=0.2)
    assert config.test.crop == 0.875
    assert not config.model.max_pool


def test_the_saved_config_reads_back_equal(tmp_path):
    config = Config(weights="runs/pose", data=DataConfig(root=tmp_path, ratio=(0.5, 2.0)))
    save(config, tmp_path / "config.yaml")
    assert read(Config, tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("mixup", "cutmix", "probability", "mixes"),
    [(0, 0, 1.0, False), (0.2, 0, 1.0, True), (0, 1, 1.0, True), (0.2, 1, 0.0, False)],
)
def test_when_batches_are_mixed(mixup, cutmix, probability, mixes):
    config = LossConfig(mixup=mixup, cutmix=cutmix, mix_probability=probability)
    assert config.mixes is mixes


def test_an_unknown_flag_is_one_line():
    with pytest.raises(UserError, match=r"data\.size") as caught:
        parse(Config, ["--data.size", "3"])
    assert "\n" not in str(caught.value)
