"""The networks: published sizes, planes, any size of picture, what stays frozen."""

import math
from dataclasses import replace

import pytest
import torch

from backbone.trunk import Pyramid
from common.errors import UserError
from tasks.depth.bts import BTSDecoder, PlanarGuidance
from tasks.depth.config import Config, ModelConfig
from tasks.depth.fusion import FusionDecoder
from tasks.depth.model import build
from tests.tasks.depth import small

PUBLISHED = Pyramid(64, 256, 512, 1024, 2048)
DECODERS = (("light", 8), ("bts", 128), ("fusion", 32))


def parameters(module):
    return sum(one.numel() for one in module.parameters())


def config(decoder="light", channels=8, **changes):
    model = ModelConfig(decoder=decoder, channels=channels, **changes)
    return Config(backbone=small.BACKBONE, model=model)


def test_published_sizes():
    with torch.device("meta"):
        assert parameters(BTSDecoder(PUBLISHED, 512, 10.0)) == 23_973_936
        assert parameters(FusionDecoder(PUBLISHED, 512)) == 44_061_441


def test_the_size_with_res2net50():
    whole = build(replace(config("bts", 512), backbone="res2net50_26w_4s"))
    assert parameters(whole) == 47_624_056


def test_planes_of_known_angles():
    def logit(share):
        return math.log(share / (1 - share))

    # theta 30 degrees, phi 45 degrees, 5 of 10 metres
    planes = torch.tensor([logit(0.5), logit(1 / 8), logit(0.5)]).view(1, 3, 1, 1)
    wanted = torch.tensor([[7.25427547, 5.77350269], [5.77350269, 4.79477362]])
    torch.testing.assert_close(PlanarGuidance(2, 10.0)(planes)[0, 0], wanted)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_a_plane_that_faces_the_camera_is_equally_far_everywhere(side):
    planes = torch.randn(2, 3, 3, 5)
    planes[:, 0] = -100  # no tilt
    depth = PlanarGuidance(side, 10.0)(planes)
    assert depth.shape == (2, 1, 3 * side, 5 * side)
    cells = planes[:, 2:].sigmoid() * 10
    wanted = cells.repeat_interleave(side, 2).repeat_interleave(side, 3)
    torch.testing.assert_close(depth, wanted)


@pytest.mark.parametrize(("decoder", "channels"), DECODERS)
def test_pictures_of_any_size(decoder, channels):
    torch.manual_seed(0)
    model = build(config(decoder, channels)).eval()
    for height, width in ((64, 96), (70, 65), (33, 40)):
        images = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
        with torch.inference_mode():
            depth = model(images)
        assert torch.isfinite(depth).all()
        if decoder == "bts":
            assert depth.shape == (1, 1, height, width)
        if decoder != "fusion":  # which bounds nothing
            assert depth.min() > 0 and depth.max() <= 10


@pytest.mark.parametrize(("decoder", "channels"), DECODERS)
def test_a_step_changes_all_weights(decoder, channels):
    torch.manual_seed(0)
    model = build(config(decoder, channels)).train()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    model(images).log1p().mean().backward() if decoder != "fusion" else model(
        images
    ).mean().backward()
    still = [
        name
        for name, one in model.decoder.named_parameters()
        if one.grad is None or not one.grad.any()
    ]
    assert not still


def test_metres_rise_with_the_focal_length():
    torch.manual_seed(0)
    model = build(config(focal_reference=500.0)).eval()
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8).expand(3, -1, -1, -1)
    with torch.inference_mode():
        one, two, unknown = model(images, torch.tensor([500.0, 750.0, 0.0]))
    torch.testing.assert_close(two, 1.5 * one)
    torch.testing.assert_close(unknown, one)


def test_what_bts_freezes():
    trunk = build(config(freeze="affine")).backbone
    still = {name for name, one in trunk.named_parameters() if not one.requires_grad}
    assert {"conv1.weight", "bn1.weight", "layer1.0.bns.0.bias", "layer4.0.bn3.weight"} <= still
    assert not any("downsample" in name or "convs" in name for name in still)
    before = trunk.bn1.running_mean.clone()
    trunk.train()(torch.randn(2, 3, 32, 32))
    assert not torch.equal(trunk.bn1.running_mean, before)


def test_frozen_statistics():
    trunk = build(config(freeze="batchnorm")).backbone.train()
    before = trunk.bn1.running_mean.clone()
    trunk(torch.randn(2, 3, 32, 32))
    assert torch.equal(trunk.bn1.running_mean, before)


@pytest.mark.parametrize(
    ("decoder", "channels", "said"),
    [("bts", 64, "from 128 on"), ("fusion", 40, "multiples of 32"), ("light", 4, "from 8 on")],
)
def test_widths_that_cannot_be(decoder, channels, said):
    with pytest.raises(UserError, match=said):
        ModelConfig(decoder=decoder, channels=channels)
