"""Losses and matches by hand."""

import math

import pytest
import torch

from tasks.detection.loss import fcos_matches, stage_terms


def test_a_stage_counts_boxes_of_objects_alone():
    logits = torch.zeros(4, 3, requires_grad=True)
    offsets = torch.tensor([[9.0, 9, 9, 9], [0.5, 0, 0, 0], [0, 3.0, 0, 0], [7.0, 7, 7, 7]])
    terms = stage_terms(logits, offsets, torch.tensor([0, 1, 2, 0]), torch.zeros(4, 4))
    assert terms["classifier"].item() == pytest.approx(math.log(3))
    # smooth L1: 0.5 x 0.5 ** 2 and 3 - 0.5, over all four boxes
    assert terms["box_reg"].item() == pytest.approx((0.125 + 2.5) / 4)


def test_a_stage_without_objects_is_finite():
    offsets = torch.randn(3, 4, requires_grad=True)
    labels = torch.zeros(3, dtype=torch.int64)
    terms = stage_terms(torch.zeros(3, 2), offsets, labels, torch.zeros(3, 4))
    assert terms["box_reg"].item() == 0
    terms["box_reg"].backward()
    assert torch.equal(offsets.grad, torch.zeros(3, 4))


def cells(height, width, stride):
    y, x = torch.meshgrid(
        torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij"
    )
    corner = torch.stack((x, y), dim=-1).reshape(-1, 2) - stride / 2
    return torch.cat((corner, corner + stride), dim=1).float()


def test_places_find_objects_of_their_level_near_the_centre():
    anchors = torch.cat((cells(16, 16, 8), cells(8, 8, 16), cells(4, 4, 32)))
    per_level = [256, 64, 16]
    boxes = torch.tensor([[20.0, 20.0, 60.0, 60.0], [0.0, 0.0, 126.0, 126.0]])
    match = fcos_matches(anchors, per_level, boxes)
    fine, middle, coarse = match.split(per_level)
    small = fine.reshape(16, 16)
    assert small[5, 5] == 0, "at the centre (40, 40)"
    assert (small == 0).sum() == 9, "within 1.5 strides"
    assert small[0, 0] == -1
    assert not (fine == 1).any(), "too large for the finest level"
    assert set(middle.tolist()) == {-1, 1}, "a reach of 63 to 87 belongs to stride 16"
    assert set(coarse.tolist()) == {-1}, "and none is above 128"


def test_of_two_objects_the_smaller_is_found():
    anchors = cells(16, 16, 8)
    boxes = torch.tensor([[16.0, 16.0, 64.0, 64.0], [30.0, 30.0, 50.0, 50.0]])
    match = fcos_matches(anchors, [256], boxes).reshape(16, 16)
    assert match[5, 5] == 1
    assert fcos_matches(anchors, [256], boxes.flip(0)).reshape(16, 16)[5, 5] == 0


def test_without_objects_nothing_is_to_be_found():
    assert (fcos_matches(cells(2, 2, 8), [4], torch.zeros(0, 4)) == -1).all()
