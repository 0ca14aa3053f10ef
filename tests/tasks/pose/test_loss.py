"""The heat-map loss against the sum over joints as it is published."""

import pytest
import torch

from tasks.pose.loss import heatmap_loss


def published_loss(predicted, target, weights):
    """One joint after the other: half the mean squared error of the weighted maps."""
    joints = predicted.shape[1]
    total = torch.zeros((), dtype=torch.float64)
    for joint in range(joints):
        weight = weights[:, joint].double().reshape(-1, 1)
        first = predicted[:, joint].double().reshape(len(predicted), -1) * weight
        second = target[:, joint].double().reshape(len(target), -1) * weight
        total += 0.5 * torch.nn.functional.mse_loss(first, second)
    return total / joints


@pytest.mark.parametrize("joints", [1, 3, 17])
def test_equals_the_published_sum_over_joints(joints):
    generator = torch.Generator().manual_seed(joints)
    predicted = torch.randn(4, joints, 8, 6, generator=generator)
    target = torch.rand(4, joints, 8, 6, generator=generator)
    weights = torch.tensor([0.0, 1.0, 1.0, 0.5])[:, None].expand(4, joints)
    expected = published_loss(predicted, target, weights)
    assert heatmap_loss(predicted, target, weights).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_an_invisible_joint_counts_as_zero_error_in_the_mean():
    predicted = torch.ones(1, 2, 4, 4)
    target = torch.zeros(1, 2, 4, 4)
    both = heatmap_loss(predicted, target, torch.tensor([[1.0, 1.0]]))
    one = heatmap_loss(predicted, target, torch.tensor([[1.0, 0.0]]))
    assert both.item() == pytest.approx(0.5)
    assert one.item() == pytest.approx(0.25)


def test_no_gradient_reaches_an_invisible_joint():
    predicted = torch.ones(1, 2, 4, 4, requires_grad=True)
    heatmap_loss(predicted, torch.zeros(1, 2, 4, 4), torch.tensor([[1.0, 0.0]])).backward()
    assert predicted.grad[0, 0].abs().min() > 0
    assert predicted.grad[0, 1].abs().max() == 0


def test_low_precision_heat_maps_give_a_float32_loss():
    predicted = torch.full((1, 1, 64, 48), 1e-3, dtype=torch.bfloat16)
    loss = heatmap_loss(predicted, torch.zeros(1, 1, 64, 48), torch.ones(1, 1))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.5e-6, rel=0.01)
