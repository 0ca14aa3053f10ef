"""Cascade R-CNN: three heads in a row, each trained on the boxes that the one before it moved.

Cai and Vasconcelos, "Cascade R-CNN: Delving into High Quality Object Detection", CVPR 2018; with
masks, each stage has a mask head of its own, as in their "Cascade R-CNN: High Quality Object
Detection and Instance Segmentation", TPAMI 2019.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_loss
from torchvision.ops import boxes as box_ops

from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.loss import stage_terms
from tasks.detection.two_stage import Features, Found, Targets, roi_heads

Boxes = list[Tensor]
Sizes = Sequence[tuple[int, int]]


class Stage(NamedTuple):
    """What sets one head of the cascade apart from the others."""

    overlap: float
    """IoU with an object from which on a box shows it."""
    box_weights: tuple[float, float, float, float]
    """Factors of the offsets of boxes: the later the stage, the smaller the offsets."""
    loss_weight: float


STAGES = (
    Stage(0.5, (10.0, 10.0, 5.0, 5.0), 1.0),
    Stage(0.6, (20.0, 20.0, 10.0, 10.0), 0.5),
    Stage(0.7, (30.0, 30.0, 15.0, 15.0), 0.25),
)


class CascadePredictor(nn.Module):
    """Logits of the classes, and one box for all of them."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, classes + 1)
        self.bbox_pred = nn.Linear(in_channels, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes + 1) and offsets (N, 4) of features (N, C), in full precision."""
        return self.cls_score(x).float(), self.bbox_pred(x).float()


class CascadeHeads(nn.Module):
    """The three stages.

    Args:
        stages: heads whose box predictor is a `CascadePredictor`, in their order.
        loss_weights: of each stage.
    """

    def __init__(self, stages: Sequence[RoIHeads], loss_weights: Sequence[float]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.loss_weights = tuple(loss_weights)

    def forward(
        self, features: Features, proposals: Boxes, sizes: Sizes, targets: Targets | None
    ) -> Found:
        """Detections, or in training the terms of the loss; as `RoIHeads` gives them."""
        if targets is not None and self.training:
            return [], self._terms(features, proposals, sizes, targets)
        return self._detections(features, proposals, sizes), {}

    def _terms(
        self, features: Features, boxes: Boxes, sizes: Sizes, targets: Targets
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        stages: list[RoIHeads] = list(self.stages)
        for number, (stage, weight) in enumerate(zip(stages, self.loss_weights, strict=True), 1):
            boxes, matches, labels, wanted = stage.select_training_samples(boxes, targets)
            logits, offsets = _predict(stage, features, boxes, sizes)
            named = stage_terms(logits, offsets, torch.cat(labels), torch.cat(wanted))
            if stage.has_mask():
                named["mask"] = _mask_term(stage, features, boxes, sizes, targets, matches, labels)
            terms |= {f"{name}_{number}": weight * term for name, term in named.items()}
            boxes = [
                moved[box_ops.remove_small_boxes(moved, 1e-2)]
                for moved in _move(stage, offsets.detach(), boxes, sizes)
            ]
        return terms

    def _detections(
        self, features: Features, boxes: Boxes, sizes: Sizes
    ) -> list[dict[str, Tensor]]:
        """Boxes of the last stage, with the mean of the probabilities that all stages give."""
        stages: list[RoIHeads] = list(self.stages)
        *earlier, last = stages
        total: Tensor | float = 0.0
        for stage in earlier:
            logits, offsets = _predict(stage, features, boxes, sizes)
            total = total + logits.softmax(dim=-1)
            boxes = _move(stage, offsets, boxes, sizes)
        logits, offsets = _predict(last, features, boxes, sizes)
        mean = (total + logits.softmax(dim=-1)) / len(self.stages)
        # torchvision takes logits, and a box for every class.
        columns = zip(
            *last.postprocess_detections(
                mean.log(), offsets.repeat(1, mean.shape[1]), boxes, sizes
            ),
            strict=True,
        )
        found = [dict(zip(("boxes", "scores", "labels"), one, strict=True)) for one in columns]
        if last.has_mask():
            for one, masks in zip(found, self._masks(features, found, sizes), strict=True):
                one["masks"] = masks
        return found

    def _masks(
        self, features: Features, found: Sequence[dict[str, Tensor]], sizes: Sizes
    ) -> list[Tensor]:
        """Probabilities (N, 1, 28, 28) of the detections' classes, the mean over all stages."""
        boxes, labels = [one["boxes"] for one in found], torch.cat([one["labels"] for one in found])
        parts = [_mask_logits(stage, features, boxes, sizes).sigmoid() for stage in self.stages]
        mean = torch.stack(parts).mean(dim=0)
        chosen = mean[torch.arange(len(labels), device=labels.device), labels][:, None]
        return list(torch.split(chosen, [len(one) for one in boxes]))


def cascade_heads(
    strides: Sequence[int], classes: int, masks: bool, model: ModelConfig, test: ScoringConfig
) -> CascadeHeads:
    """The published cascade of three stages; the arguments are those of `roi_heads`."""
    heads = [
        roi_heads(
            strides,
            classes,
            masks,
            model,
            test,
            overlap=stage.overlap,
            box_weights=stage.box_weights,
            predictor=CascadePredictor(model.box_channels, classes),
        )
        for stage in STAGES
    ]
    return CascadeHeads(heads, [stage.loss_weight for stage in STAGES])


def _predict(
    stage: RoIHeads, features: Features, boxes: Boxes, sizes: Sizes
) -> tuple[Tensor, Tensor]:
    pooled = stage.box_head(stage.box_roi_pool(features, boxes, sizes))
    logits, offsets = stage.box_predictor(pooled)
    return logits, offsets


def _move(stage: RoIHeads, offsets: Tensor, boxes: Boxes, sizes: Sizes) -> Boxes:
    """The boxes where the stage says they belong, within their pictures."""
    moved = torch.split(stage.box_coder.decode(offsets, boxes)[:, 0], [len(one) for one in boxes])
    return [box_ops.clip_boxes_to_image(one, size) for one, size in zip(moved, sizes, strict=True)]


def _mask_logits(stage: RoIHeads, features: Features, boxes: Boxes, sizes: Sizes) -> Tensor:
    pooled = stage.mask_roi_pool(features, boxes, sizes)
    logits: Tensor = stage.mask_predictor(stage.mask_head(pooled))
    return logits.float()


def _mask_term(
    stage: RoIHeads,
    features: Features,
    boxes: Boxes,
    sizes: Sizes,
    targets: Targets,
    matches: Boxes,
    labels: Boxes,
) -> Tensor:
    """The mask loss of the boxes that show an object."""
    shows = [one > 0 for one in labels]
    chosen = [one[there] for one, there in zip(boxes, shows, strict=True)]
    objects = [one[there] for one, there in zip(matches, shows, strict=True)]
    term: Tensor = maskrcnn_loss(
        _mask_logits(stage, features, chosen, sizes),
        chosen,
        [target["masks"] for target in targets],
        [target["labels"] for target in targets],
        objects,
    )
    return term
