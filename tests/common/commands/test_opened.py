"""A trained model is opened in one place: weights, device, deployed form, precision."""

import pytest
import torch
from torch import nn

from backbone import Deployed
from common.commands.opened import opened
from common.commands.settings import TrainedFlags
from common.commands.trained import Trained
from common.errors import UserError

CPU = torch.device("cpu")


class Net(nn.Module):
    """A convolution with BatchNorm behind it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x))

    def channels(self):
        return 4


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = Net()
    nn.init.uniform_(model.norm.weight)
    nn.init.uniform_(model.norm.running_mean)
    return Trained(tmp_path / "best.pt", model.state_dict(), 3)


def open_net(weights, **flags):
    return opened(TrainedFlags(**flags), Net(), weights, lambda wrong, state: "", CPU)


def test_the_model_has_the_weights_and_the_network_gives_the_same(weights):
    found = open_net(weights)
    x = torch.randn(1, 3, 8, 8)
    assert not found.model.training
    assert torch.equal(found.model.conv.weight, weights.state["conv.weight"])
    with found.running():
        assert torch.allclose(found.network(x), found.model(x), atol=1e-5)
    assert isinstance(found.network, Net)
    assert isinstance(found.network.norm, nn.Identity), "BatchNorm is folded"
    assert found.layers is found.network


def test_without_deploy_the_network_is_the_model(weights):
    found = open_net(weights, deploy=False)
    assert found.network is found.layers is found.model


@pytest.mark.parametrize("deploy", [True, False])
def test_low_precision(weights, deploy):
    found, exact = open_net(weights, precision="bf16", deploy=deploy), open_net(weights)
    x = torch.randn(2, 3, 8, 8)
    assert isinstance(found.network, Deployed) == deploy
    assert found.layers.channels() == 4, "methods of the model are there whatever stands around it"
    with found.running():
        assert torch.is_autocast_enabled("cpu")
        low, part = found.network(x), found.layers.conv(x)
    with exact.running():
        high = exact.network(x)
    assert part.dtype == torch.bfloat16
    difference = (low.float() - high).abs().max().item()
    assert 0 < difference < 0.05 * high.abs().max().item()


def test_no_gradients_while_it_runs(weights):
    found = open_net(weights, deploy=False)
    with found.running():
        assert not found.network(torch.randn(1, 3, 4, 4)).requires_grad
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")


def test_weights_of_another_model_are_refused(weights):
    del weights.state["conv.bias"]
    with pytest.raises(UserError, match=r"best\.pt: the weights do not fit .*conv\.bias"):
        open_net(weights)
