"""The losses against loops over pictures and pixels."""

import functools
import math

import numpy as np
import pytest
import torch

from tasks.salient.config import LossConfig
from tasks.salient.loss import (
    contour_loss,
    edge_loss,
    iou_loss,
    saliency_loss,
    ssim_loss,
    structure_loss,
    terms,
)
from tasks.salient.model import Logits

HEIGHT, WIDTH = 20, 26


@pytest.fixture
def batch():
    """Logits, masks and valid pixels of two pictures, the second one padded."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, HEIGHT, WIDTH, generator=generator)
    mask = torch.randint(0, 256, (2, 1, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    valid = torch.ones_like(mask)
    valid[1, :, 14:] = 0
    valid[1, :, :, 20:] = 0
    return logits, mask, valid


def cross_entropy(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def each_pixel(logits, mask, valid):
    """Cross entropies of the valid pixels, a list for each picture."""
    return [
        [
            cross_entropy(float(logits[n, 0, i, j]), float(mask[n, 0, i, j]) / 255)
            for i in range(HEIGHT)
            for j in range(WIDTH)
            if valid[n, 0, i, j]
        ]
        for n in range(len(logits))
    ]


def test_cross_entropy_is_summed_or_averaged_over_valid_pixels(batch):
    pixels = each_pixel(*batch)
    summed = sum(sum(one) for one in pixels) / 2
    assert saliency_loss(*batch, "sum").item() == pytest.approx(summed, rel=1e-5)
    averaged = sum(sum(one) / len(one) for one in pixels) / 2
    assert saliency_loss(*batch, "mean").item() == pytest.approx(averaged, rel=1e-5)


def test_what_is_in_the_padding_does_not_count(batch):
    logits, mask, valid = batch
    outside = valid == 0
    other = torch.where(outside, 50.0, logits)
    other_mask = torch.where(outside, 255, mask)
    summed = functools.partial(saliency_loss, reduction="sum")
    for loss in (iou_loss, ssim_loss, structure_loss, summed):
        assert loss(other, other_mask, valid).item() == pytest.approx(
            loss(logits, mask, valid).item(), rel=1e-5
        )


def test_no_gradient_comes_from_the_padding(batch):
    logits, mask, valid = batch
    logits.requires_grad_(True)
    total = saliency_loss(logits, mask, valid, "mean") + iou_loss(logits, mask, valid)
    (total + ssim_loss(logits, mask, valid)).backward()
    assert (logits.grad[valid == 0] == 0).all()
    assert (logits.grad[valid == 1] != 0).all()


def test_intersection_over_union(batch):
    logits, mask, valid = batch
    wanted = []
    for n in range(2):
        p = (logits[n, 0].sigmoid() * valid[n, 0]).double().numpy()
        g = (mask[n, 0] / 255 * valid[n, 0]).double().numpy()
        wanted.append(1 - (p * g).sum() / (p + g - p * g).sum())
    assert iou_loss(*batch).item() == pytest.approx(np.mean(wanted), rel=1e-5)


def test_structural_similarity_window_by_window(batch):
    logits, mask, valid = batch
    wanted = []
    for n in range(2):
        shown = valid[n, 0].numpy()
        map_ = logits[n, 0].sigmoid().double().numpy() * shown
        target = mask[n, 0].numpy() / 255 * shown
        places = np.argwhere(shown)
        wanted.append(np.mean([pixel_ssim(map_, target, *place) for place in places]))
    assert ssim_loss(*batch).item() == pytest.approx(np.mean(wanted), rel=1e-4)


def pixel_ssim(map_, target, row, column):
    """1 - structural similarity of one pixel's window, zeros beyond the border."""
    p, g = (np.pad(one, 5)[row : row + 11, column : column + 11] for one in (map_, target))
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    mp, mg = (window * p).sum(), (window * g).sum()
    vp, vg = (window * p * p).sum() - mp**2, (window * g * g).sum() - mg**2
    covariance = (window * p * g).sum() - mp * mg
    luminance = (2 * mp * mg + 1e-4) / (mp**2 + mg**2 + 1e-4)
    return 1 - luminance * (2 * covariance + 9e-4) / (vp + vg + 9e-4)


def test_edges_are_balanced_as_published():
    """Weights by hand: 3 edges and 5 background pixels of 10, two that do not count."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 5, 2, 5, generator=generator)
    edges = torch.tensor([[255, 200, 128, 0, 0], [0, 0, 0, 127, 64]], dtype=torch.uint8)
    wanted = 0.0
    for k in range(5):
        for i in range(2):
            for j in range(5):
                if edges[i, j] > 127:
                    wanted += 5 / 8 * cross_entropy(float(logits[0, k, i, j]), 1)
                elif edges[i, j] == 0:
                    wanted += 1.1 * 3 / 8 * cross_entropy(float(logits[0, k, i, j]), 0)
    assert edge_loss(logits, edges[None, None], "sum").item() == pytest.approx(wanted, rel=1e-5)
    mean = edge_loss(logits, edges[None, None], "mean").item()
    assert mean == pytest.approx(wanted / 8, rel=1e-5)


def test_edges_are_balanced_for_each_picture():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, 6, 7, generator=generator)
    edges = torch.zeros(2, 1, 6, 7, dtype=torch.uint8)
    edges[0, :, 2] = 255
    edges[1, :, :, 1:6] = 255
    each = [edge_loss(logits[n : n + 1], edges[n : n + 1], "sum") for n in range(2)]
    both = edge_loss(logits, edges, "sum")
    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)


def test_an_edge_map_without_any_label_costs_nothing():
    unlabelled = torch.full((1, 1, 4, 4), 64, dtype=torch.uint8)
    assert edge_loss(torch.randn(1, 5, 4, 4), unlabelled, "mean").item() == 0


def test_structure_pixel_by_pixel(batch):
    """Weights from a window of 31 pixels, with zeros beyond the border."""
    logits, mask, valid = batch
    wanted = []
    for n in range(2):
        shown = valid[n, 0].double().numpy()
        target = mask[n, 0].numpy() / 255 * shown
        map_ = logits[n, 0].sigmoid().double().numpy()
        padded = np.pad(target, 15)
        entropy = weights = both = either = 0.0
        for i, j in np.argwhere(shown):
            around = padded[i : i + 31, j : j + 31].sum() / 31**2
            weight = 1 + 5 * abs(around - target[i, j])
            entropy += weight * cross_entropy(float(logits[n, 0, i, j]), target[i, j])
            weights += weight
            both += weight * map_[i, j] * target[i, j]
            either += weight * (map_[i, j] + target[i, j])
        wanted.append(entropy / weights + 1 - (both + 1) / (either - both + 1))
    assert structure_loss(*batch).item() == pytest.approx(np.mean(wanted), rel=1e-5)


def test_outlines_lie_on_both_sides_of_the_border():
    mask = torch.zeros(1, 1, 7, 8, dtype=torch.uint8)
    mask[..., 2:5, 2:6] = 255
    outline = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 0, 0, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    valid = torch.ones_like(mask)
    perfect = torch.where(outline[None, None] > 0, 30.0, -30.0)
    assert contour_loss(perfect, mask, valid).item() < 1e-6
    zeros = torch.zeros_like(perfect)
    assert contour_loss(zeros, mask, valid).item() == pytest.approx(math.log(2))


def test_every_map_has_the_main_loss(batch):
    logits, mask, valid = batch
    named = {"mask": mask, "valid": valid}
    several = Logits(logits, None, (logits, 2 * logits), contour=logits)
    found = terms(several, named, LossConfig(main="structure", iou=0, sides=0.5, contour=3))
    assert list(found) == ["saliency", "sides", "contour"]
    each = [structure_loss(factor * logits, mask, valid).item() for factor in (1, 2)]
    assert found["saliency"].item() == pytest.approx(each[0])
    assert found["sides"].item() == pytest.approx(0.5 * sum(each))
    assert found["contour"].item() == pytest.approx(3 * contour_loss(*batch).item())
    found = terms(several, named, LossConfig(iou=0, sides=0, contour=0))
    assert list(found) == ["saliency"]
    assert found["saliency"].item() == pytest.approx(saliency_loss(*batch, "mean").item())


def test_the_config_chooses_the_terms(batch):
    logits, mask, valid = batch
    named = {"mask": mask, "valid": valid, "edge_map": torch.zeros_like(mask)}
    plain = terms(Logits(logits, None), named, LossConfig(reduction="sum", iou=0))
    assert list(plain) == ["saliency"]
    every = terms(Logits(logits, logits), named, LossConfig(iou=2, ssim=0.5))
    assert list(every) == ["saliency", "iou", "ssim", "edge"]
    assert every["iou"].item() == pytest.approx(2 * iou_loss(*batch).item())
    assert every["ssim"].item() == pytest.approx(0.5 * ssim_loss(*batch).item())


def test_perfect_maps_cost_next_to_nothing():
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    mask[..., 4:9, 5:12] = 255
    logits = torch.where(mask > 0, 20.0, -20.0)
    valid = torch.ones_like(mask)
    batch = {"mask": mask, "valid": valid}
    every = terms(Logits(logits, None), batch, LossConfig(iou=1, ssim=1))
    assert all(value.item() < 1e-5 for value in every.values())


def test_low_precision_logits_lose_little(batch):
    logits, mask, valid = batch
    for loss in (iou_loss, ssim_loss):
        with torch.autocast("cpu", torch.bfloat16):
            low = loss(logits.bfloat16(), mask, valid)
        assert low.dtype == torch.float32
        assert low.item() == pytest.approx(loss(logits, mask, valid).item(), rel=0.01)
