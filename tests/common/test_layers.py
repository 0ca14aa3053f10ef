import torch
from torch import nn
from torchvision.transforms.functional import normalize

from common.layers import FrozenBatchNorm2d, Normalize, freeze_batchnorm

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


def test_frozen_batchnorm_neither_follows_the_data_nor_learns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    nn.init.uniform_(model[1][0].weight)
    model[1][0].running_mean.uniform_()
    images = torch.randn(2, 3, 5, 5)
    expected = model.eval()(images)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    freeze_batchnorm(model)
    assert isinstance(model[1][0], FrozenBatchNorm2d)
    torch.testing.assert_close(model.train()(images), expected)
    model(images).sum().backward()
    assert model[1][0].weight.grad is None
    assert model[0].weight.grad is not None
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[key], after[key]) for key in before)
