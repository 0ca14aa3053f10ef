"""A model on its device: what is computed again, and which kernels compute it."""

import pytest
import torch
import torch._inductor.config
from torch import nn
from torch.nn import functional as F

from common.errors import UserError
from common.training import placement
from common.training.settings import EngineConfig


class Backbone(nn.Module):
    recomputed: tuple[int, ...] = ()


def test_the_stages_reach_the_backbone():
    model = nn.Module()
    model.backbone = Backbone()
    placement.recompute(model, ())
    assert model.backbone.recomputed == ()
    placement.recompute(model, (1, 3))
    assert model.backbone.recomputed == (1, 3)


def test_a_model_that_cannot_says_so():
    placement.recompute(nn.Linear(1, 1), ())
    with pytest.raises(UserError, match=r"--engine\.recompute: this model's backbone cannot"):
        placement.recompute(nn.Linear(1, 1), (1,))


def test_wrong_stages_are_refused():
    assert EngineConfig(recompute=(1, 4)).recompute == (1, 4)
    with pytest.raises(UserError, match=r"--engine.recompute \[5\]: stages are 1, 2, 3 and 4"):
        EngineConfig(recompute=(5,))
    with pytest.raises(UserError, match=r"recompute and --engine\.compile: choose one"):
        EngineConfig(recompute=(1,), compile=True)


@pytest.fixture
def kernels(monkeypatch):
    """The settings that choose kernels, put back afterwards."""
    cudnn, inductor = torch.backends.cudnn, torch._inductor.config
    before = cudnn.benchmark, cudnn.deterministic, inductor.deterministic
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    yield
    cudnn.benchmark, cudnn.deterministic, inductor.deterministic = before
    torch.use_deterministic_algorithms(False)


def test_kernels_are_the_fastest_or_those_that_repeat(kernels):
    placement.choose_kernels(deterministic=False)
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    placement.choose_kernels(deterministic=True)
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_two_trainings_are_equal(kernels):
    placement.choose_kernels(deterministic=True)

    def trained():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 26, 3, 2, 1), nn.MaxPool2d(3, 2), nn.Flatten(), nn.LazyLinear(10),
        ).cuda()  # fmt: skip
        images, labels = torch.randn(64, 3, 64, 64).cuda(), torch.arange(64).cuda() % 10
        net(images)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        return nn.utils.parameters_to_vector(net.parameters())

    assert torch.equal(trained(), trained())
