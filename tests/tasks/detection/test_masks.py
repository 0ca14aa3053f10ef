"""Masks over whole pictures."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from tasks.detection.masks import encode

HEIGHT, WIDTH = 100, 130


def drawn(masks, boxes, threshold=0.5, size=(HEIGHT, WIDTH), aligned=False):
    runs = encode(masks, boxes, size, threshold, aligned=aligned)
    return coco_mask.decode(runs).transpose(2, 0, 1)


def disc(box):
    left, top, right, bottom = box
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    across, down = (right - left) / 2, (bottom - top) / 2
    inside = ((x - left - across) / across) ** 2 + ((y - top - down) / down) ** 2
    return torch.from_numpy(inside <= 1).to(torch.uint8)


@settings(max_examples=30, deadline=None)
@given(
    left=st.floats(0, 60), top=st.floats(0, 40), width=st.floats(24, 65), height=st.floats(24, 55)
)
def test_a_training_target_comes_back_as_the_object(left, top, width, height):
    """The way back undoes how torchvision makes targets, to the resolution of 28 x 28."""
    box = torch.tensor([[left, top, left + width, top + height]])
    mask = disc(box[0].tolist())[None]
    target = project_masks_on_boxes(mask, box, torch.zeros(1, dtype=torch.int64), 28)
    back = drawn(target[:, None], box)[0] > 0
    truth = mask[0].numpy() > 0
    assert (back & truth).sum() / (back | truth).sum() > 0.93


def test_a_full_mask_fills_its_box_and_half_of_it_half():
    boxes = torch.tensor([[10.0, 20.0, 50.0, 80.0], [0.0, 0.0, 60.0, 90.0]])
    masks = torch.ones(2, 1, 28, 28)
    masks[1, :, :14] = 0
    full, half = drawn(masks, boxes)
    assert 39 * 59 <= full.sum() <= 41 * 61
    assert full[21:80, 11:50].all()
    assert not full[:19].any()
    assert not full[:, 52:].any()
    assert not half[:44].any()
    assert half[46:89, 1:59].all()


def test_a_box_beyond_the_border_is_cut_off():
    found = drawn(torch.ones(1, 1, 28, 28), torch.tensor([[-20.0, -10.0, 20.0, 150.0]]))[0]
    assert found[:, 1:19].all()
    assert not found[:, 22:].any()


def test_the_threshold_and_no_mask_at_all():
    masks = torch.full((1, 1, 28, 28), 0.6)
    box = torch.tensor([[10.0, 10.0, 40.0, 40.0]])
    assert drawn(masks, box, 0.5).sum() > 800
    assert drawn(masks, box, 0.7).sum() == 0
    assert encode(masks[:0], box[:0], (HEIGHT, WIDTH), 0.5) == []


def test_run_lengths_are_text_and_of_the_picture():
    (one,) = encode(torch.ones(1, 1, 28, 28), torch.tensor([[1.0, 1.0, 9.0, 9.0]]), (40, 30), 0.5)
    assert one["size"] == [40, 30]
    assert isinstance(one["counts"], str)
