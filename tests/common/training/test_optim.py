import math

import pytest
import torch
from torch import nn

from common.errors import UserError
from common.training import optim
from common.training.optim import Average, OptimizerConfig


def factors(epochs=10, steps=10, **settings):
    factor = optim.schedule(OptimizerConfig(**settings), steps, epochs)
    return [factor(step) for step in range(epochs * steps)]


def test_constant():
    assert factors(schedule="constant") == [1.0] * 100


def test_multistep():
    values = factors(schedule="multistep", milestones=(3, 7), gamma=0.1)
    assert values == pytest.approx([1.0] * 30 + [0.1] * 40 + [0.01] * 30)


def test_cosine():
    values = factors(schedule="cosine")
    assert values == pytest.approx([(1 + math.cos(math.pi * s / 100)) / 2 for s in range(100)])


def test_poly():
    values = factors(schedule="poly", power=0.9)
    assert values == pytest.approx([(1 - s / 100) ** 0.9 for s in range(100)])


def test_poly_to_a_final_rate():
    values = factors(schedule="poly", power=0.9, learning_rate=1e-4, final_rate=1e-5)
    assert values == pytest.approx([0.1 + 0.9 * (1 - s / 100) ** 0.9 for s in range(100)])


def test_exponential_falls_by_the_same_factor_at_every_step_to_the_final_rate():
    values = factors(schedule="exponential", learning_rate=0.1, final_rate=5e-5)
    assert values == pytest.approx([(5e-5 / 0.1) ** (s / 100) for s in range(100)])
    warm = factors(schedule="exponential", learning_rate=0.1, final_rate=5e-5, warmup_epochs=4)
    assert warm[40] == 1.0
    factor = optim.schedule(
        OptimizerConfig(schedule="exponential", learning_rate=0.1, final_rate=5e-5), 10, 10
    )
    assert 0.1 * factor(100) == pytest.approx(5e-5)
    assert 0.1 * factor(500) == pytest.approx(5e-5)


def test_cosine_to_a_final_rate():
    values = factors(schedule="cosine", learning_rate=0.2, final_rate=0.02)
    plain = factors(schedule="cosine", learning_rate=0.2)
    assert values == pytest.approx([0.1 + 0.9 * value for value in plain])


def test_nesterov_reaches_the_optimizer():
    steps = []
    for nesterov in (False, True):
        config = OptimizerConfig(name="sgd", learning_rate=1.0, weight_decay=0, nesterov=nesterov)
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        optimizer = optim.build(model, config)
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
        steps.append(model.weight.item())
    # Momentum 0.9: the first look ahead adds 0.9 of the gradient.
    assert steps == pytest.approx([-1.0, -1.9])


def test_warmup_then_the_whole_curve():
    values = factors(schedule="cosine", warmup_epochs=2.5, warmup_factor=0.2)
    assert values[:25] == pytest.approx([0.2 + 0.8 * s / 25 for s in range(25)])
    assert values[25:] == pytest.approx([(1 + math.cos(math.pi * s / 75)) / 2 for s in range(75)])


@pytest.mark.parametrize("name", ["constant", "cosine", "poly"])
def test_training_longer_than_planned_is_no_error(name):
    factor = optim.schedule(OptimizerConfig(schedule=name), 10, 10)
    assert 0 <= factor(10_000) <= 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def settings_of(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_groups(name):
    model = Net()
    config = OptimizerConfig(name=name, learning_rate=1.0, weight_decay=0.5, backbone_factor=0.1)
    optimizer = optim.build(model, config)
    assert type(optimizer).__name__.lower() == name
    assert settings_of(model, optimizer) == {
        "backbone.0.weight": (0.1, 0.5),
        "backbone.0.bias": (0.1, 0),
        "backbone.1.weight": (0.1, 0),
        "backbone.1.bias": (0.1, 0),
        "head.weight": (1.0, 0.5),
        "head.bias": (1.0, 0),
    }


def test_everything_decays_if_asked():
    model = Net()
    config = OptimizerConfig(weight_decay=0.5, decay_norm_and_bias=True)
    assert {decay for _, decay in settings_of(model, optim.build(model, config)).values()} == {0.5}


def test_the_backbone_may_decay_by_itself():
    model = Net()
    config = OptimizerConfig(weight_decay=0.0, backbone_decay=0.5, decay_norm_and_bias=True)
    decays = {name: one[1] for name, one in settings_of(model, optim.build(model, config)).items()}
    assert {decay for name, decay in decays.items() if name.startswith("backbone.")} == {0.5}
    assert {decay for name, decay in decays.items() if name.startswith("head.")} == {0.0}


@pytest.mark.parametrize(("name", "epsilon"), [("adam", 1e-8), ("adamw", 1e-8), ("lamb", 1e-6)])
def test_betas_and_epsilon_reach_the_optimizer(name, epsilon):
    usual = optim.build(Net(), OptimizerConfig(name=name)).param_groups[0]
    assert (tuple(usual["betas"]), usual["eps"]) == ((0.9, 0.999), epsilon)
    config = OptimizerConfig(name=name, betas=(0.5, 0.9), epsilon=1e-3)
    own = optim.build(Net(), config).param_groups[0]
    assert (tuple(own["betas"]), own["eps"]) == ((0.5, 0.9), 1e-3)


def test_nothing_to_learn():
    with pytest.raises(UserError, match="everything is frozen"):
        optim.build(nn.Linear(2, 2).requires_grad_(False), OptimizerConfig())


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"learning_rate": 0.0}, "--optimizer.learning_rate 0.0"),
        ({"learning_rate": math.nan}, "--optimizer.learning_rate nan"),
        ({"weight_decay": -1.0}, "--optimizer.weight_decay -1.0"),
        ({"backbone_decay": -1.0}, "--optimizer.backbone_decay -1.0"),
        ({"epsilon": math.inf}, "--optimizer.epsilon inf"),
        ({"betas": (0.9, 1.0)}, "--optimizer.betas .0.9, 1.0."),
        ({"warmup_factor": 1.5}, "--optimizer.warmup_factor 1.5"),
        ({"schedule": "multistep"}, "--optimizer.milestones"),
        ({"milestones": (5, 3)}, "--optimizer.milestones .5, 3."),
        ({"milestones": (-1, 2)}, "--optimizer.milestones .-1, 2."),
        ({"warmup_epochs": float("inf")}, "--optimizer.warmup_epochs inf"),
        ({"learning_rate": float("inf")}, "--optimizer.learning_rate inf"),
        ({"schedule": "exponential"}, "--optimizer.final_rate 0.0"),
        ({"final_rate": -1.0}, "--optimizer.final_rate -1.0"),
        ({"nesterov": True}, "--optimizer.nesterov"),
        ({"nesterov": True, "name": "sgd", "momentum": 0.0}, "--optimizer.nesterov"),
    ],
)
def test_bad_settings_name_their_flag(settings, flag):
    with pytest.raises(UserError, match=flag):
        OptimizerConfig(**settings)


def test_average_follows_parameters_and_buffers():
    model = nn.BatchNorm1d(1)
    average = Average(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.running_var.fill_(5.0)
        model.num_batches_tracked.fill_(7)
    average.update(model, step=100)
    assert average.module.weight.item() == 2.0
    assert average.module.running_var.item() == 3.0
    assert average.module.num_batches_tracked.item() == 7
    assert not average.module.training
    assert not average.module.weight.requires_grad
    assert model.weight.item() == 3.0


def test_average_leaves_the_start_quickly():
    """At step 1 the decay is 2 / 11, however near to 1 it ends."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, decay=0.9999)
    nn.init.ones_(model.weight)
    average.update(model, step=1)
    assert average.module.weight.item() == pytest.approx(9 / 11)


def test_lamb_scales_a_step_by_the_norm_of_the_weights():
    """The first step of You et al., algorithm 2, by hand: Adam's direction, the trust ratio."""
    model = nn.Linear(3, 2)
    weight, bias = (p.detach().clone() for p in (model.weight, model.bias))
    config = OptimizerConfig(name="lamb", learning_rate=0.1, weight_decay=0.01)
    optimizer = optim.build(model, config)
    gradient = torch.tensor([[0.1, -0.2, 0.3], [0.05, 0.0, -0.1]])
    model.weight.grad, model.bias.grad = gradient, torch.tensor([0.2, -0.1])
    optimizer.step()
    direction = gradient / (gradient.abs() + 1e-6) + 0.01 * weight
    expected = weight - 0.1 * weight.norm() / direction.norm() * direction
    assert torch.allclose(model.weight, expected, atol=1e-6)
    assert torch.allclose(model.bias, bias - 0.1 * torch.tensor([1.0, -1.0]), atol=1e-4)


def test_lamb_goes_on_from_a_saved_state(tmp_path):
    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    config = OptimizerConfig(name="lamb", learning_rate=0.1)
    torch.manual_seed(0)
    whole, stopped, resumed = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)
    stopped.load_state_dict(whole.state_dict())
    steps(whole, optim.build(whole, config), 4)
    first = optim.build(stopped, config)
    steps(stopped, first, 2)
    torch.save([stopped.state_dict(), first.state_dict()], tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(weights)
    second = optim.build(resumed, config)
    second.load_state_dict(state)
    steps(resumed, second, 2)
    assert torch.equal(whole.weight, resumed.weight)
