"""The hybrid task cascade: what the picture means, and masks that build on each other."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import roi_align

from tasks.detection import cascade
from tasks.detection.config import ModelConfig
from tasks.detection.conventions import CONVENTIONS
from tasks.detection.heads import mask_logits
from tasks.detection.hybrid import SemanticBranch
from tasks.detection.loss import semantic_term
from tasks.detection.model import build
from tasks.detection.pooling import SEMANTIC, LevelPool, SemanticPool
from tests.tasks.detection.test_model import TINY, batch, tiny

STRIDES = (4, 8, 16, 32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build("res2net26_14w_4s_half", 3, tiny("htc", "mmdetection"))


def test_a_place_has_the_class_of_the_smallest_object_there():
    """At stride 8, by the pixel in the middle of each place; padding does not count."""
    masks = torch.zeros(2, 40, 48, dtype=torch.uint8)
    masks[0, 8:24, 8:24] = 1  # the small one comes first and stays
    masks[1, 0:40, 0:32] = 1
    wanted = torch.zeros(1, 5, 6, dtype=torch.int64)
    wanted[0, :5, :4] = 2
    wanted[0, 1:3, 1:3] = 3
    targets = [{"labels": torch.tensor([3, 2]), "masks": masks}]
    sure = 50 * F.one_hot(wanted, 4).permute(0, 3, 1, 2).float()
    padded = torch.randn(1, 4, 8, 8)
    padded[:, :, :5, :6] = sure
    assert semantic_term(padded, targets, (64, 64)) < 1e-6
    padded[0, :, 1, 1] = padded[0, :, 0, 0]  # the place is taken for the great one's
    assert float(semantic_term(padded, targets, (64, 64))) == pytest.approx(50 / 30)
    nothing = [{"labels": torch.zeros(0, dtype=torch.int64), "masks": masks[:0]}]
    empty = torch.zeros(1, 4, 5, 6)
    empty[:, 0] = 50
    assert semantic_term(empty, nothing, (40, 48)) < 1e-6


def test_the_semantic_branch_joins_all_levels_at_stride_8():
    torch.manual_seed(0)
    branch = SemanticBranch(8, 3, 4)
    levels = [torch.rand(2, 8, side, side + 2, requires_grad=True) for side in (16, 8, 4)]
    embedded, logits = branch(levels)
    assert embedded.shape == (2, 8, 8, 10) and logits.shape == (2, 5, 8, 10)
    (embedded.sum() + logits.sum()).backward()
    assert all(level.grad.abs().sum() > 0 for level in levels)
    with torch.no_grad():
        parts = [
            branch.lateral[place](F.interpolate(one, (8, 10), mode="bilinear", align_corners=True))
            for place, one in enumerate(levels)
            if place != 1
        ]
        x = branch.convs(sum(parts) + branch.lateral[1](levels[1]))
        torch.testing.assert_close(branch.embedding(x), embedded)


@pytest.mark.parametrize("side", [7, 14])
def test_what_the_picture_means_is_added_to_the_features_of_a_box(side):
    rules = CONVENTIONS["mmdetection"]
    torch.manual_seed(0)
    features = {
        str(place): torch.rand(1, 3, 128 // stride, 128 // stride)
        for place, stride in enumerate(STRIDES)
    }
    features[SEMANTIC] = torch.rand(1, 3, 16, 16)
    boxes = [torch.tensor([[3.0, 5.0, 70.0, 90.0], [1.0, 1.0, 9.0, 20.0]])]
    plain = LevelPool(side, STRIDES, 32, rules)(features, boxes, [(128, 128)])
    both = SemanticPool(side, STRIDES, 32, rules)(features, boxes, [(128, 128)])
    meant = roi_align(features[SEMANTIC], boxes, 14, 1 / 8, 0, aligned=True)
    meant = meant if side == 14 else F.avg_pool2d(meant, 2)
    torch.testing.assert_close(both, plain + meant)


def test_each_mask_head_is_told_what_the_one_before_it_made(model):
    stages = model.detector.roi_heads.heads
    assert [stage.mask_residual is None for stage in stages] == [True, False, False]
    pooled = torch.rand(2, 32, 14, 14)
    found = mask_logits(stages, pooled)
    made = stages[0].mask_head(pooled)
    for stage, one in zip(stages[1:], found[1:], strict=True):
        made = stage.mask_head(pooled + stage.mask_residual(made))
        torch.testing.assert_close(one, stage.mask_predictor(made))


@pytest.mark.parametrize("name", ["htc", "cascade_mask_rcnn"])
def test_masks_are_learnt_on_the_boxes_of_their_stage(name, monkeypatch):
    """HTC: as the stage moved them, which each moves to the right here, and by all heads so far."""
    model = build("res2net26_14w_4s_half", 3, tiny(name))
    for stage in model.detector.roi_heads.heads:
        stage.box_predictor.bbox_pred.weight.data.zero_()
        stage.box_predictor.bbox_pred.bias.data = torch.tensor([0.2, 0.0, 0.0, 0.0])
    chosen, learnt, own = [], [], cascade.mask_loss

    def predict(self, features, boxes, sizes):
        chosen.append(torch.cat(boxes))
        return type(self).predict(self, features, boxes, sizes)

    def spy(stages, features, boxes, *rest):
        learnt.append((len(stages), torch.cat(boxes)))
        return own(stages, features, boxes, *rest)

    monkeypatch.setattr(cascade, "mask_loss", spy)
    for stage in model.detector.roi_heads.heads:
        monkeypatch.setattr(stage, "predict", predict.__get__(stage))
    model(*batch())
    interleaved = name == "htc"
    assert [count for count, _ in learnt] == ([1, 2, 3] if interleaved else [1, 1, 1])
    same = [
        len(boxes) == len(one) and torch.equal(boxes, one)
        for boxes, (_, one) in zip(chosen, learnt, strict=True)
    ]
    assert same == [not interleaved] * 3


def test_it_learns_from_the_objects_alone(model):
    images, sizes, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    sums = []
    for _ in range(8):
        torch.manual_seed(1)  # the same proposals are drawn, so that sums can be compared
        terms = model(images, sizes, targets)
        assert {"semantic", "mask_1", "mask_2", "mask_3"} <= terms.keys()
        optimizer.zero_grad()
        total = sum(terms.values())
        total.backward()
        optimizer.step()
        sums.append(float(total))
    assert sums[-1] < 0.8 * sums[0]
    assert all(one.grad.abs().sum() > 0 for one in model.detector.semantic.parameters())


def test_it_draws_masks_and_is_a_cascade():
    config = ModelConfig(detector="htc", **TINY)
    assert config.masks and config.cascade and config.boxes_only == "cascade_rcnn"
