"""The model against the published network, assembled here from torchvision's ResNet."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from common.commands.opened import opened
from common.commands.trained import Trained
from common.errors import UserError
from tasks.reid.config import Config, ModelConfig, ScoredConfig, ScoringConfig
from tasks.reid.inference import embed
from tasks.reid.model import (
    GeneralisedMean,
    build,
    explain,
    from_published,
    to_published,
    without_persons,
)

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
CPU = torch.device("cpu")


class Published(nn.Module):
    """The strong baseline: ResNet-50 of last stride 1 and without stem ReLU, BNNeck, classifier."""

    def __init__(self, persons=751, stem_relu=False):
        super().__init__()
        resnet = torchvision.models.resnet50(weights=None)
        resnet.layer4[0].conv2.stride = (1, 1)
        resnet.layer4[0].downsample[0].stride = (1, 1)
        if not stem_relu:
            resnet.relu = nn.Identity()
        resnet.avgpool, resnet.fc = nn.Identity(), nn.Identity()
        self.base = resnet
        self.bottleneck = nn.BatchNorm1d(2048)
        self.classifier = nn.Linear(2048, persons, bias=False)
        generator = torch.Generator().manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                for values, low, high in (
                    (module.weight.data, 0.6, 1.4),
                    (module.bias.data, -0.3, 0.3),
                    (module.running_mean, -0.3, 0.3),
                    (module.running_var, 0.5, 1.5),
                ):
                    values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)

    def forward(self, images):
        x = (images / 255 - MEAN) / STD
        base = self.base
        x = base.maxpool(base.relu(base.bn1(base.conv1(x))))
        x = base.layer4(base.layer3(base.layer2(base.layer1(x))))
        pooled = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return pooled, self.bottleneck(pooled)


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return Published().eval()


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 64, 32), generator=generator, dtype=torch.uint8)


def config(backbone="resnet50", **model):
    return Config(backbone=backbone, model=ModelConfig(**model))


def new(settings, **persons):
    return build(settings.backbone, settings.model, **persons)


def weights(state, name="file.pth"):
    return Trained(Path(name), state, None)


def restore(settings, weights):
    """The model as `open_model` gives it."""
    kept = without_persons(weights)
    return opened(ScoredConfig(deploy=False), new(settings), kept, explain, CPU).model


def test_a_published_checkpoint_gives_the_published_features(published, images):
    state = from_published(published.state_dict())
    model = restore(config(stem_relu=False), weights(state))
    with torch.inference_mode():
        expected, found = published(images), model(images)
    assert expected[0].shape == (2, 2048)
    first, second = expected[0]
    assert (first - second).norm() / first.norm() > 0.02, "features this alike would prove nothing"
    for one, other in zip(expected, found[:2], strict=True):
        assert (one - other).norm() / one.norm() < 1e-5
    assert found.logits is None
    # Other checkpoints, trained with the ReLU of the stem, are other networks.
    model.backbone.relu = nn.ReLU()
    with torch.inference_mode():
        assert (model(images).after - expected[1]).norm() / expected[1].norm() > 1e-3


def test_the_published_layout_and_back(published):
    state = {k: v for k, v in published.state_dict().items() if not k.startswith("base.fc")}
    with torch.device("meta"):
        own = new(config(), persons=751).state_dict()
    translated = from_published(state)
    assert {k: v.shape for k, v in translated.items()} == {k: v.shape for k, v in own.items()}
    back = to_published(translated)
    assert back.keys() == state.keys()
    assert all(back[key] is value for key, value in state.items())
    assert to_published({**translated, "centers": torch.zeros(1)}).keys() == state.keys()


def test_other_files_are_no_published_ones():
    assert from_published({"conv1.weight": torch.zeros(1)}) is None
    assert from_published({"backbone.conv1.weight": torch.zeros(1)}) is None


@pytest.fixture(scope="module")
def tiny():
    """Weights of a small model, under our names."""
    torch.manual_seed(0)
    return new(config("resnet26_half"), persons=7).state_dict()


def test_any_number_of_learnt_persons_is_tested_alike(tiny, images):
    """The classifier and the centers depend on the training set; a search needs neither."""
    features = []
    for persons in (7, 13):
        changed = {**tiny, "classifier.weight": torch.randn(persons, 1024)}
        changed["centers"] = torch.randn(persons, 1024)
        features.append(restore(config("resnet26_half"), weights(changed))(images).after)
    assert torch.equal(*features)


def refusal(state, settings):
    with pytest.raises(UserError) as caught:
        restore(settings, weights(state))
    message = str(caught.value)
    assert message.startswith("file.pth: ")
    assert "\n" not in message
    return message


def test_weights_that_do_not_fit_are_refused_with_the_cause(tiny):
    assert "--backbone resnet26_half" in refusal(tiny, config("res2net26_14w_4s_half"))
    assert "--model.pooling average" in refusal(tiny, config("resnet26_half", pooling="gem"))
    with_power = {**tiny, "pooling.p": torch.tensor([3.0])}
    assert "--model.pooling gem" in refusal(with_power, config("resnet26_half"))
    less = {key: value for key, value in tiny.items() if key != "bottleneck.weight"}
    assert "bottleneck.weight" in refusal(less, config("resnet26_half"))


@pytest.mark.parametrize("name", ["res2net26_14w_4s_half", "res2net50_v1b", "dla60_res2net"])
def test_the_last_stage_keeps_its_resolution(name):
    with torch.device("meta"):  # shapes alone
        model = new(config(name)).eval()
        pyramid = model.backbone(torch.zeros(1, 3, 64, 32))
    assert model.backbone.strides.c5 == 16
    assert pyramid.c5.shape[2:] == pyramid.c4.shape[2:] == (4, 2)
    assert all(
        module.dilation == (1, 1) for module in model.modules() if isinstance(module, nn.Conv2d)
    )


def test_a_model_that_learns():
    torch.manual_seed(0)
    model = new(config("resnet26_half"), persons=300, centers=True)
    channels = model.backbone.channels.c5
    assert model.classifier.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert model.classifier.bias is None
    assert (model.bottleneck.weight == 1).all()
    assert not model.bottleneck.bias.any()
    assert not model.bottleneck.bias.requires_grad
    assert model.centers.shape == (300, channels)
    assert "centers" in model.state_dict()
    assert "centers" not in dict(model.named_parameters())
    found = model(torch.zeros(2, 3, 32, 16, dtype=torch.uint8), torch.zeros(2, 4, dtype=torch.long))
    assert found.logits.shape == (2, 300)
    assert new(config("resnet26_half"), persons=3).centers is None


def test_only_erased_pictures_change(images):
    model = new(config("resnet26_half")).eval()
    nothing = torch.zeros(2, 4, dtype=torch.long)
    some = torch.tensor([[0, 0, 0, 0], [8, 4, 30, 20]])
    plain, same, erased = (model(images, boxes).after for boxes in (None, nothing, some))
    assert torch.equal(plain, same)
    assert torch.equal(plain[0], erased[0])
    assert not torch.equal(plain[1], erased[1])


def test_features_and_distances_stay_in_float32_under_bfloat16(images):
    model = new(config("resnet26_half"), persons=5)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images)
    assert {part.dtype for part in found} == {torch.float32}


def test_generalised_mean_is_a_power_mean():
    features = torch.rand(2, 4, 3, 5)
    pool = GeneralisedMean()
    expected = features.double().pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(pool(features), expected.float())
    pool.p.data.fill_(1)
    torch.testing.assert_close(pool(features), features.mean(dim=(2, 3)))
    pool.p.data.fill_(100)
    assert (pool(features) / features.amax(dim=(2, 3)) > 0.95).all()
    pool.p.data.fill_(3)
    pool(-features).sum().backward()
    assert torch.isfinite(pool.p.grad).all()


def test_no_relu_to_leave_out():
    stem = pytest.raises(UserError, match=r"--model\.stem_relu false: dla60_res2net")
    with stem, torch.device("meta"):
        new(config("dla60_res2net", stem_relu=False))
    with pytest.raises(UserError, match=r"--backbone res3net: .*resnet50"):
        new(config("res3net"))


class Side(nn.Module):
    """Features that tell the left from the right half of a picture."""

    def forward(self, images):
        halves = images.float().mean(dim=(1, 2)).unflatten(1, (2, -1)).mean(dim=2)
        return type("Found", (), {"before": halves, "after": halves + 1})


def test_features_before_and_after_the_neck_plain_and_mirrored(images):
    test = ScoringConfig()
    raw = Side()(images)
    change = dataclasses.replace
    plain = embed(Side(), images, change(test, normalize=False))
    assert torch.equal(plain, raw.after)
    assert torch.equal(
        embed(Side(), images, change(test, normalize=False, feature="before")), raw.before
    )
    unit = embed(Side(), images, test)
    torch.testing.assert_close(unit, raw.after / raw.after.norm(dim=1, keepdim=True))
    flipped = embed(Side(), images, change(test, flip=True))
    torch.testing.assert_close(flipped, torch.full((2, 2), 0.5**0.5))
    both = embed(Side(), images, change(test, flip=True, normalize=False))
    torch.testing.assert_close(both, (raw.after + raw.after.flip(1)) / 2)


def test_a_model_of_nothing_but_nan_is_refused(images):
    with pytest.raises(UserError, match="not finite"):
        embed(Side(), torch.full((2, 3, 4, 4), torch.nan), Config().test)
