import torch
from torchvision.transforms.functional import normalize

from common.layers import Normalize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_normalize_agrees_with_torchvision():
    images = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    expected = normalize(images.float() / 255, list(MEAN), list(STD))
    torch.testing.assert_close(Normalize(MEAN, STD)(images), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(Normalize(MEAN, STD)(images.float()), expected, atol=1e-6, rtol=1e-6)


def test_normalize_adds_nothing_to_checkpoints_and_follows_the_model():
    layer = Normalize(MEAN, STD)
    assert not layer.state_dict()
    assert layer.double()(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)).dtype == torch.float64


def test_normalize_keeps_channels_last():
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8).to(memory_format=torch.channels_last)
    assert Normalize(MEAN, STD)(images).is_contiguous(memory_format=torch.channels_last)
