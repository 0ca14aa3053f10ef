"""The heads that look at a proposal's features: its class, its box and its mask.

Girshick, "Fast R-CNN", ICCV 2015; He, Gkioxari, Dollár and Girshick, "Mask R-CNN", ICCV 2017. The
parts are torchvision's; its parameter names are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss

from tasks.detection.config import ModelConfig, ScoringConfig
from tasks.detection.conventions import Weights
from tasks.detection.loss import mask_term
from tasks.detection.pooling import Features, LevelPool

Targets = Sequence[Mapping[str, Tensor]]
Found = tuple[list[dict[str, Tensor]], dict[str, Tensor]]
"""Detections of each picture, empty in training; and the terms of the loss, empty otherwise."""
Boxes = list[Tensor]
Sizes = Sequence[tuple[int, int]]

BOX_SIDE, MASK_SIDE = 7, 14
"""Features across a box for its class and place, and for its mask, which is twice as fine."""

_MASK_CONVOLUTIONS = 4


class BoxPredictor(FastRCNNPredictor):  # type: ignore[misc]
    """torchvision's last layers with outputs in full precision."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes + 1) and offsets (N, 4 (classes + 1)) of features (N, C)."""
        logits, offsets = super().forward(x)
        return logits.float(), offsets.float()


class Heads(RoIHeads):  # type: ignore[misc]  # torchvision has no types
    """torchvision's heads, whose masks are learnt under the conventions of a code base.

    `mask_residual`, if there is one, takes what the mask head of the stage before made.
    """

    mask_residual: nn.Module | None

    def forward(
        self, features: Features, proposals: Boxes, sizes: Sizes, targets: Targets | None = None
    ) -> Found:
        """Detections, or in training the terms of the loss."""
        if targets is None or not self.training:
            found: Found = super().forward(features, proposals, sizes)
            return found
        boxes, matches, labels, wanted = self.select_training_samples(proposals, targets)
        logits, offsets = self.predict(features, boxes, sizes)
        classifier, box_reg = fastrcnn_loss(logits, offsets, labels, wanted)
        terms = {"loss_classifier": classifier, "loss_box_reg": box_reg}
        if self.has_mask():
            terms["loss_mask"] = mask_loss([self], features, boxes, sizes, targets, matches, labels)
        return [], terms

    def predict(self, features: Features, boxes: Boxes, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Logits and offsets of the boxes."""
        pooled = self.box_head(self.box_roi_pool(features, boxes, sizes))
        logits, offsets = self.box_predictor(pooled)
        return logits, offsets


def mask_logits(stages: Sequence[Heads], pooled: Tensor) -> list[Tensor]:
    """Each stage's logits (N, classes + 1, 28, 28) of masks, of features (N, C, 14, 14).

    A stage may also be told what the mask head of the stage before made.
    """
    logits: list[Tensor] = []
    made = pooled
    for stage in stages:
        told = stage.mask_residual
        made = stage.mask_head(pooled if told is None else pooled + told(made))
        logits.append(stage.mask_predictor(made).float())
    return logits


def mask_loss(
    stages: Sequence[Heads],
    features: Features,
    boxes: Boxes,
    sizes: Sizes,
    targets: Targets,
    matches: Boxes,
    labels: Boxes,
) -> Tensor:
    """The loss of the last stage's masks of the boxes that show an object.

    Args:
        stages: the one that learns, after those that tell it something.
        features: that are pooled.
        boxes: (n, 4) of each picture.
        sizes: of the pictures.
        targets: of the pictures.
        matches: (n,), the object of each box.
        labels: (n,), 0 for the background.
    """
    shows = [one > 0 for one in labels]
    chosen = [one[there] for one, there in zip(boxes, shows, strict=True)]
    objects = [one[there] for one, there in zip(matches, shows, strict=True)]
    last = stages[-1]
    pool: LevelPool = last.mask_roi_pool
    return mask_term(
        mask_logits(stages, pool(features, chosen, sizes))[-1],
        chosen,
        [target["masks"] for target in targets],
        torch.cat([one[there] for one, there in zip(labels, shows, strict=True)]),
        objects,
        aligned=pool.rules.aligned,
        binary=pool.rules.binary_masks,
    )


def roi_heads(
    strides: Sequence[int],
    classes: int,
    model: ModelConfig,
    test: ScoringConfig,
    *,
    overlap: float = 0.5,
    box_weights: Weights = (10.0, 10.0, 5.0, 5.0),
    predictor: nn.Module | None = None,
    pool: type[LevelPool] = LevelPool,
) -> Heads:
    """The heads that classify proposals, move them, and draw their masks if the detector does.

    Args:
        strides: of the four levels that are pooled.
        classes: without the background.
        model: which detector, widths and numbers.
        test: thresholds of the detections.
        overlap: IoU with an object from which on a proposal shows it.
        box_weights: factors of the offsets of boxes, which make them about normal.
        predictor: the last layers; None takes those of Faster R-CNN.
        pool: how features of boxes are pooled.
    """
    channels = model.channels
    mask_parts: dict[str, Any] = {}
    if model.masks:
        mask_parts = {
            "mask_roi_pool": pool(MASK_SIDE, strides, model.anchor_size, model.rules),
            "mask_head": MaskRCNNHeads(channels, (channels,) * _MASK_CONVOLUTIONS, dilation=1),
            "mask_predictor": MaskRCNNPredictor(channels, channels, classes + 1),
        }
    heads = Heads(
        pool(BOX_SIDE, strides, model.anchor_size, model.rules),
        TwoMLPHead(channels * BOX_SIDE**2, model.box_channels),
        predictor or BoxPredictor(model.box_channels, classes + 1),
        fg_iou_thresh=overlap,
        bg_iou_thresh=overlap,
        batch_size_per_image=model.samples,
        positive_fraction=0.25,
        bbox_reg_weights=box_weights,
        score_thresh=test.score_threshold,
        nms_thresh=test.nms_threshold,
        detections_per_img=test.detections,
        **mask_parts,
    )
    heads.mask_residual = None
    return heads
