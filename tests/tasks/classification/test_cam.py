"""Class activation maps beside their definitions."""

import numpy as np
import pytest
import torch

from tasks.classification.cam import cam, grad_cam, heat
from tasks.classification.config import ModelConfig
from tasks.classification.model import build
from tests.tasks.classification import small
from tests.tasks.classification.test_model import pictures, randomise


@pytest.fixture(scope="module", params=[small.BACKBONE, "resnet26_half"])
def model(request):
    torch.manual_seed(0)
    return randomise(build(request.param, 6, ModelConfig()))


CLASSES = torch.tensor([4, 1])


def test_the_mean_of_a_map_is_the_score_without_its_bias(model):
    images = pictures(96)
    maps = cam(model, images, CLASSES)
    assert maps.shape == (2, 3, 3)
    with torch.inference_mode():
        scores = model(images)[torch.arange(2), CLASSES] - model.fc.bias[CLASSES]
    assert torch.allclose(maps.mean(dim=(1, 2)), scores, atol=1e-5)


def test_grad_cam_of_the_last_stage_is_cam_up_to_a_positive_factor(model):
    images = pictures(96)
    plain, gradient = cam(model, images, CLASSES), grad_cam(model, images, CLASSES)
    assert torch.allclose(gradient * 9, plain, atol=1e-5)
    assert np.allclose(heat(plain, (96, 96), 32), heat(gradient, (96, 96), 32), atol=1e-5)


def test_grad_cam_of_an_earlier_stage_by_the_chain_of_stages(model):
    """The stage's features as leaves, and the rest of the trunk run by hand."""
    images = pictures(64)
    found = grad_cam(model, images, CLASSES, "c4")
    features = model.backbone(model.normalize(images)).c4.detach().requires_grad_()
    scores = model.fc(model.backbone.layer4(features).mean(dim=(2, 3)))
    (scores[0, 4] + scores[1, 1]).backward()
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(found, (weights * features).sum(dim=1), atol=1e-5)
    assert found.shape == (2, 4, 4)


def test_maps_leave_no_gradients_behind(model):
    model.zero_grad()
    grad_cam(model, pictures(64), CLASSES, "c3")
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.inference_mode():
        model(pictures(64))


def test_another_class_has_another_map(model):
    images = pictures(96)
    assert not torch.allclose(cam(model, images, CLASSES), cam(model, images, CLASSES - 1))


def test_heat_is_from_zero_to_one():
    maps = torch.tensor([[[1.0, -2.0], [0.0, 4.0]], [[-1.0, -2.0], [-3.0, -4.0]]])
    shown = heat(maps, (8, 10), 5)
    assert shown.shape == (2, 8, 10)
    assert shown[0].max() == 1
    assert shown.min() == 0
    assert shown[0, -1, -1] == 1
    assert not shown[1].any()


def test_heat_stands_where_its_cell_looks():
    maps = torch.zeros(1, 3, 4)
    maps[0, 1, 2] = 2.0
    shown = heat(maps, (12, 16), 4)[0]
    assert np.unravel_index(shown.argmax(), shown.shape) == (4, 8)
    assert shown[4, 6] == pytest.approx(0.5)
    assert shown[2, 6] == pytest.approx(0.25)
    assert shown[4, 4] == shown[4, 12] == shown[0, 8] == shown[8, 8] == 0
    assert heat(torch.ones(1, 1, 1), (3, 3), 32).min() == 1


@pytest.mark.parametrize(("stage", "cell"), [("c2", 6), ("c3", 7), ("c4", 7)])
def test_a_cell_looks_at_the_pixel_that_its_heat_is_put_on(model, stage, cell):
    """The pixels that move it lie evenly around that one."""
    stride = getattr(model.backbone.strides, stage)
    side = 2 * cell * stride + stride
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    images.requires_grad_()
    features = getattr(model.backbone(images), stage)
    (gradient,) = torch.autograd.grad(features[0, :, cell, cell].sum(), images)
    for axis in (1, 2):
        moved = gradient[0].abs().amax(dim=(0, axis)).nonzero()
        assert moved.min() > 0
        assert (moved.min() + moved.max()) / 2 == cell * stride
