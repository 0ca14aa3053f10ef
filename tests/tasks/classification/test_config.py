import pytest

from common.commands.config import parse
from tasks.classification.config import Config, LossConfig


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


@pytest.mark.parametrize(
    ("mixup", "cutmix", "probability", "mixes"),
    [(0, 0, 1.0, False), (0.2, 0, 1.0, True), (0, 1, 1.0, True), (0.2, 1, 0.0, False)],
)
def test_when_batches_are_mixed(mixup, cutmix, probability, mixes):
    config = LossConfig(mixup=mixup, cutmix=cutmix, mix_probability=probability)
    assert config.mixes is mixes
