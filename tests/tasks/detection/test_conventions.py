"""What code bases do otherwise with equal weights, one rule at a time."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.roi_heads import maskrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, roi_align

from common.errors import UserError
from tasks.detection.anchors import RATIOS
from tasks.detection.cascade import stages_of, voted
from tasks.detection.config import DataConfig, ModelConfig
from tasks.detection.conventions import CONVENTIONS
from tasks.detection.data import as_tested
from tasks.detection.loss import mask_term
from tasks.detection.pooling import LevelPool
from tasks.detection.transforms import RESIZED
from tasks.detection.two_stage import rpn
from tests.tasks.detection.test_masks import disc, drawn

TORCHVISION, MMDETECTION = CONVENTIONS["torchvision"], CONVENTIONS["mmdetection"]
STRIDES = (4, 8, 16, 32)


def anchors(conventions, height, width):
    """Anchors of five levels of a padded picture; the last level is rounded up."""
    model = ModelConfig(anchor_size=32, conventions=conventions)
    x = torch.zeros(1, 3, height, width)
    levels = [torch.zeros(1, 1, height // stride, width // stride) for stride in STRIDES]
    levels.append(torch.zeros(1, 1, -(-height // 64), -(-width // 64)))
    return rpn((*STRIDES, 64), model).anchor_generator.of_levels(x, levels)


@pytest.mark.parametrize("conventions", CONVENTIONS)
def test_anchors_have_the_shapes_and_places_of_their_code_base(conventions):
    """160 rows make 3 of stride 64: torchvision sets them 160 // 3 = 53 apart."""
    every = anchors(conventions, 160, 224)
    rounded = conventions == "torchvision"
    for level, found in enumerate(every):
        side, stride = 32 * 2**level, 4 * 2**level
        rows, columns = -(-160 // stride), -(-224 // stride)
        down, across = (160 // rows, 224 // columns) if rounded else (stride, stride)
        wanted = [
            (column * across, row * down, side / math.sqrt(ratio), side * math.sqrt(ratio))
            for row in range(rows)
            for column in range(columns)
            for ratio in RATIOS
        ]
        x, y, wide, high = torch.tensor(wanted, dtype=torch.float64).unbind(dim=1)
        half = torch.stack((wide, high), dim=1) / 2
        half = half.round() if rounded else half
        centre = torch.stack((x, y), dim=1)
        expected = torch.cat((centre - half, centre + half), dim=1)
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("conventions", "samples"), [("torchvision", 2), ("mmdetection", 0)])
def test_a_box_is_pooled_as_its_code_base_does(conventions, samples):
    generator = torch.Generator().manual_seed(0)
    levels = {
        str(number): torch.rand(2, 3, 256 // stride, 320 // stride, generator=generator)
        for number, stride in enumerate(STRIDES)
    }
    corner = 100 * torch.rand(2, 9, 2, generator=generator)
    side = torch.tensor([5.0, 60.0, 150.0]).repeat(3)[:, None]
    boxes = [torch.cat((one, one + side), dim=1) for one in corner]
    pool = LevelPool(7, STRIDES, 32, CONVENTIONS[conventions])
    found = pool(levels, boxes, [(256, 320)] * 2)
    reference = MultiScaleRoIAlign(list(levels), 7, samples)
    theirs = reference(levels, boxes, [(256, 320)] * 2)
    assert torch.equal(found, theirs) == (conventions == "torchvision")
    level = pool.map_levels(boxes).tolist()
    for place, number in enumerate(level):
        region = torch.cat((torch.tensor([[place // 9]]), boxes[place // 9][[place % 9]]), dim=1)
        aligned = conventions == "mmdetection"
        wanted = roi_align(
            levels[str(number)], region, 7, 1 / STRIDES[number], samples, aligned=aligned
        )
        torch.testing.assert_close(found[place], wanted[0])


def test_an_export_is_traced_for_any_number_of_regions():
    """`Dim.DYNAMIC` is an error where a number turns out to be fixed."""

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = LevelPool(7, STRIDES, 32, CONVENTIONS["mmdetection"])

        def forward(self, first, regions):
            levels = {str(number): first[..., :: 2**number, :: 2**number] for number in range(4)}
            return self.pool.regions(levels, regions)

    first = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([[0.0, 4, 4, 30, 30], [1, 0, 0, 200, 150], [1, 9, 9, 90, 90]])
    shapes = ({}, {0: torch.export.Dim.DYNAMIC})
    exported = torch.export.export(Pooled(), (first, regions), dynamic_shapes=shapes).module()
    some = regions[[2, 0]]
    torch.testing.assert_close(exported(first, some), Pooled()(first, some))


def test_the_mean_is_of_probabilities_or_of_logits():
    """Three stages of which one is sure of the other class."""
    logits = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]], [[9.0, 0.0]]])
    mean = voted(list(logits), "probabilities")
    assert float(mean[0, 1]) == pytest.approx((2 / (1 + math.exp(-1)) + 1 / (1 + math.exp(9))) / 3)
    of_logits = voted(list(logits), "logits")
    assert float(of_logits[0, 1]) == pytest.approx(1 / (1 + math.exp((9 - 2) / 3)))
    assert torch.equal(voted([logits[0]], "probabilities"), logits[0].softmax(-1))


def test_the_third_stage_has_the_factors_of_its_code_base():
    assert stages_of(TORCHVISION)[2].box_weights == (30, 30, 15, 15)
    deviations = [1 / one for one in stages_of(MMDETECTION)[2].box_weights]
    assert deviations == pytest.approx([0.033, 0.033, 0.067, 0.067])
    assert stages_of(TORCHVISION)[:2] == stages_of(MMDETECTION)[:2]


def learnt(mask, box, rules):
    """The mask that a network learns at best: where its loss has no slope."""
    logits = torch.zeros(1, 2, 28, 28, requires_grad=True)
    labels, matches = torch.ones(1, dtype=torch.int64), [torch.zeros(1, dtype=torch.int64)]
    term = mask_term(
        logits, [box], [mask], labels, matches, aligned=rules.aligned, binary=rules.binary_masks
    )
    (slope,) = torch.autograd.grad(term, logits)
    return 0.5 - slope[:, 1:] * 28 * 28  # sigmoid(0) - target is the slope of a mean's part


@pytest.mark.parametrize("conventions", CONVENTIONS)
def test_masks_are_drawn_back_where_they_were_learnt(conventions):
    """And nowhere else: the other code base's way back is half a pixel off."""
    rules = CONVENTIONS[conventions]
    generator = np.random.default_rng(0)
    overlaps = {True: [], False: []}
    for left, top, width, height in generator.uniform((0, 0, 24, 24), (60, 40, 60, 55), (20, 4)):
        box = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
        mask = disc(box[0].tolist())[None]
        target = learnt(mask, box, rules)
        assert set(target.round(decimals=6).unique().tolist()) <= {0, 1} or not rules.binary_masks
        for aligned, found in overlaps.items():
            back = drawn(target, box, aligned=aligned)[0] > 0
            truth = mask[0].numpy() > 0
            found.append((back & truth).sum() / (back | truth).sum())
    right, wrong = np.mean(overlaps[rules.aligned]), np.mean(overlaps[not rules.aligned])
    assert right > 0.96
    assert right > wrong + 0.02


def test_a_mask_at_pixel_centres_is_exact():
    """A left half of a box of whole pixels: 20 columns, and 20.5 where pixels lie at numbers."""
    mask = torch.zeros(1, 1, 28, 28)
    mask[..., :14] = 1
    box = torch.tensor([[10.0, 20.0, 50.0, 80.0]])
    found = drawn(mask, box, aligned=True)[0]
    assert found.sum() == 20 * 60
    assert found[20:80, 10:30].all()


def test_torchvisions_mask_term_is_its_own():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 28, 28, generator=generator)
    masks = (torch.rand(2, 40, 50, generator=generator) > 0.5).to(torch.uint8)
    boxes = torch.tensor([[1.0, 2, 30, 30], [5, 5, 45, 38], [0, 0, 9, 9]])
    labels, matches = torch.tensor([3, 1]), torch.tensor([0, 1, 1])
    wanted = maskrcnn_loss(logits, [boxes], [masks], [labels], [matches])
    found = mask_term(
        logits, [boxes], [masks], labels[matches], [matches], aligned=False, binary=False
    )
    assert torch.equal(found, wanted)
    nothing = mask_term(
        logits[:0], [boxes[:0]], [masks], labels[:0], [matches[:0]], aligned=True, binary=True
    )
    assert nothing == 0


@pytest.mark.parametrize(
    ("resize", "method"), [("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)]
)
def test_pictures_shrink_as_they_are_told_and_grow_alike(resize, method):
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    small = as_tested(picture, DataConfig(test_short_side=40, short_sides=(40,), resize=resize))
    assert np.array_equal(
        small.transpose(1, 2, 0), cv2.resize(picture, (53, 40), interpolation=method)
    )
    large = as_tested(picture, DataConfig(test_short_side=180, short_sides=(180,), resize=resize))
    wanted = cv2.resize(picture, (240, 180), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(large.transpose(1, 2, 0), wanted)
    assert resize in RESIZED


@pytest.mark.parametrize("detector", ["retinanet", "fcos"])
def test_one_stage_has_no_conventions_to_choose(detector):
    with pytest.raises(UserError, match=rf"--model\.conventions mmdetection: .*{detector}"):
        ModelConfig(detector=detector, conventions="mmdetection")
