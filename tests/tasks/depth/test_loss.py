"""The losses: known values, holes that change nothing, scales that must not count."""

import numpy as np
import pytest
import torch

from tasks.depth import loss
from tasks.depth.config import DataConfig, LossConfig

TRUTH = torch.tensor([[1, 2, 4], [8, 0, 0.5]], dtype=torch.float64)[None]
FOUND = torch.tensor([[1.1, 1.8, 5], [6, 3, 0.5]], dtype=torch.float64)[None, None]
MASK = (TRUTH > 0)[:, None]
ALL = LossConfig(least_depth=0.001)


def smooth(seed, size=(12, 16)):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 4, 4, generator=generator) * 4 + 1
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def terms(name, found, truth, **changes):
    return loss.terms(found, truth[:, 0], LossConfig(name=name, **changes), DataConfig())


def test_known_values():
    assert loss.silog(FOUND, TRUTH[:, None], MASK, 0.85).item() == pytest.approx(1.7423724823)
    error = torch.where(MASK, FOUND - TRUTH, 0.0)
    assert loss.log_error(error, MASK).item() == pytest.approx(-0.0477783817)
    found = loss.terms(FOUND.float(), TRUTH.float(), ALL, DataConfig())
    assert found["silog"].item() == pytest.approx(1.7423724823, rel=1e-5)


def test_pixels_of_the_batch_are_one_set():
    both, truths = torch.cat([FOUND, 2 * FOUND]), torch.cat([TRUTH, TRUTH])[:, None]
    d = np.log(np.concatenate([(FOUND / TRUTH).numpy()[0, 0][MASK[0, 0]]] * 2))
    d[5:] += np.log(2)
    wanted = 10 * np.sqrt((d**2).mean() - 0.85 * d.mean() ** 2)
    value = loss.silog(both, truths, torch.cat([MASK, MASK]), 0.85).item()
    assert value == pytest.approx(wanted)


def test_a_full_balance_ignores_the_scale():
    target = TRUTH[:, None]
    one, two = (loss.silog(k * FOUND, target, MASK, 1.0).item() for k in (1, 3))
    assert one == pytest.approx(two)


@pytest.mark.parametrize("name", ["silog", "hu", "ssi"])
def test_what_was_not_measured_teaches_nothing(name):
    truth = smooth(1)
    truth[..., 3:6, 4:9] = 0
    found = [smooth(2), smooth(2)]
    found[1][truth == 0] = 77.0
    found = [one.requires_grad_() for one in found]
    values = [sum(terms(name, one, truth).values()) for one in found]
    for value in values:
        value.backward()
    # A slope at a hole's border sees into it: those are left out, too.
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    assert all((one.grad[truth == 0] == 0).all() for one in found)
    assert all(torch.isfinite(one.grad).all() and one.grad.any() for one in found)


@pytest.mark.parametrize("name", ["silog", "hu", "ssi"])
def test_a_batch_without_measurement_and_a_right_answer_have_gradients(name):
    for truth in (torch.zeros(1, 1, 12, 16), smooth(3)):
        found = smooth(3).requires_grad_()
        sum(terms(name, found, truth).values()).backward()
        assert torch.isfinite(found.grad).all()


def test_a_right_answer_is_the_least():
    truth = smooth(4)
    right, wrong = terms("hu", truth, truth), terms("hu", truth * 1.2, truth)
    assert all(right[key] <= wrong[key] for key in right)
    assert right["depth"].item() == pytest.approx(np.log(0.5))
    assert right["gradient"].item() == pytest.approx(2 * np.log(0.5))
    assert right["normal"].item() == pytest.approx(0, abs=1e-6)


def test_normals_of_planes():
    columns = torch.arange(9.0).expand(1, 1, 9, 9)
    mask = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    mask[..., 2:7, 2:7] = True  # away from the zeros around the map
    # Sobel's slope of a plane is eight times the step: (-8, 0, 1) against (0, 0, 1).
    value = loss.normal_error(columns, torch.zeros(1, 1, 9, 9), mask).item()
    assert value == pytest.approx(1 - 1 / np.sqrt(65), rel=1e-5)


def test_scale_and_shift_of_inverse_depth_do_not_count():
    truth = smooth(5)
    right = terms("ssi", 3 / truth + 2, truth)
    assert all(value.item() == pytest.approx(0, abs=1e-4) for value in right.values())
    wrong = terms("ssi", smooth(6), truth)
    again = terms("ssi", 5 * smooth(6) + 1, truth)
    for key, value in wrong.items():
        assert value.item() > 0.01
        assert again[key].item() == pytest.approx(value.item(), rel=1e-4)


def test_depth_is_brought_to_the_maps_size_by_its_nearest_pixels():
    truth = torch.rand(1, 1, 8, 12)
    small = loss.sampled(truth, (4, 6))
    assert small.shape == (1, 1, 4, 6)
    assert set(small.flatten().tolist()) <= set(truth.flatten().tolist())


def test_limits_of_what_is_learnt():
    truth = torch.tensor([[[0.05, 2.0, 50.0]]])
    found = torch.ones(1, 1, 1, 3, requires_grad=True)
    sum(loss.terms(found, truth, LossConfig(), DataConfig()).values()).backward()
    assert (found.grad[0, 0, 0] != 0).tolist() == [False, True, False]
