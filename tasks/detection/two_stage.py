"""Proposals first, then the class, the box and the mask of each: Faster R-CNN and Mask R-CNN.

Ren, He, Girshick and Sun, "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature Pyramid Networks for
Object Detection", CVPR 2017; He, Gkioxari, Dollár and Girshick, "Mask R-CNN", ICCV 2017. The parts
are torchvision's; its parameter names are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from tasks.detection.config import ModelConfig, ScoringConfig

Features = Mapping[str, Tensor]
Targets = Sequence[Mapping[str, Tensor]]
Found = tuple[list[dict[str, Tensor]], dict[str, Tensor]]
"""Detections of each picture, empty in training; and the terms of the loss, empty otherwise."""

RATIOS = (0.5, 1.0, 2.0)
"""Heights over widths of the anchors."""
POOLED_LEVELS = ("0", "1", "2", "3")
"""The pyramid's levels that boxes are pooled from: all but the one of stride 64."""
BOX_SIDE, MASK_SIDE = 7, 14
"""Features across a box for its class and place, and for its mask, which is twice as fine."""

_MASK_CONVOLUTIONS = 4
_CANONICAL = 224
"""Side in pixels of the boxes that belong to the level of stride 16, for anchors from 32 on."""


class TwoStage(nn.Module):
    """A region proposal network, and the heads that look at its proposals.

    Args:
        rpn: takes pictures, features and targets, gives proposals and terms of the loss.
        roi_heads: takes features, proposals, picture sizes and targets; gives what `forward` gives.
    """

    def __init__(self, rpn: nn.Module, roi_heads: nn.Module) -> None:
        super().__init__()
        self.rpn = rpn
        self.roi_heads = roi_heads

    def forward(self, images: ImageList, features: Features, targets: Targets | None) -> Found:
        """Detections in pixels of the network's input, or in training the terms of the loss."""
        proposals, terms = self.rpn(images, features, targets)
        found, more = self.roi_heads(features, proposals, images.image_sizes, targets)
        return found, {**terms, **more}


class Anchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """torchvision's anchors, always in full precision.

    It makes them in that of the features; in bfloat16 they would be up to 7 pixels off in a picture
    of 1333.
    """

    def set_cell_anchors(self, _: torch.dtype, device: torch.device) -> None:
        """Put the shapes where the features are."""
        super().set_cell_anchors(torch.float32, device)


class ProposalHead(RPNHead):  # type: ignore[misc]
    """torchvision's head with outputs in full precision: boxes are computed from them."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness (B, A, h, w) and offsets (B, 4 A, h, w) of every level."""
        objectness, offsets = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in offsets]


class BoxPredictor(FastRCNNPredictor):  # type: ignore[misc]
    """torchvision's last layers with outputs in full precision."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes + 1) and offsets (N, 4 (classes + 1)) of features (N, C)."""
        logits, offsets = super().forward(x)
        return logits.float(), offsets.float()


class LevelPool(MultiScaleRoIAlign):  # type: ignore[misc]
    """RoIAlign from the level that fits a box's size.

    torchvision guesses the strides from the first batch it sees, which goes wrong for small padded
    pictures; here they are given.
    """

    def __init__(self, side: int, strides: Sequence[int], anchor_size: int) -> None:
        super().__init__(POOLED_LEVELS, side, sampling_ratio=2)
        self.scales = [1 / stride for stride in strides]
        levels = [stride.bit_length() - 1 for stride in strides]
        canonical = _CANONICAL * anchor_size // 32
        self.map_levels = LevelMapper(levels[0], levels[-1], canonical, canonical_level=4)


def rpn(channels: int, model: ModelConfig) -> RegionProposalNetwork:
    """The region proposal network on five levels of these channels."""
    sizes = tuple((model.anchor_size * 2**level,) for level in range(5))
    training, testing = model.proposals
    numbers = {"training": training, "testing": testing}
    return RegionProposalNetwork(
        Anchors(sizes, (RATIOS,) * len(sizes)),
        ProposalHead(channels, len(RATIOS)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=numbers,
        post_nms_top_n=numbers,
        nms_thresh=0.7,
    )


def roi_heads(
    strides: Sequence[int],
    classes: int,
    masks: bool,
    model: ModelConfig,
    test: ScoringConfig,
    *,
    overlap: float = 0.5,
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0),
    predictor: nn.Module | None = None,
) -> RoIHeads:
    """The heads that classify proposals, move them, and draw their masks if asked.

    Args:
        strides: of the four levels that are pooled.
        classes: without the background.
        masks: whether there is a head for masks.
        model: widths and numbers.
        test: thresholds of the detections.
        overlap: IoU with an object from which on a proposal shows it.
        box_weights: factors of the offsets of boxes, which make them about normal.
        predictor: the last layers; None takes those of Faster R-CNN.
    """
    channels = model.channels
    mask_parts: dict[str, Any] = {}
    if masks:
        mask_parts = {
            "mask_roi_pool": LevelPool(MASK_SIDE, strides, model.anchor_size),
            "mask_head": MaskRCNNHeads(channels, (channels,) * _MASK_CONVOLUTIONS, dilation=1),
            "mask_predictor": MaskRCNNPredictor(channels, channels, classes + 1),
        }
    return RoIHeads(
        LevelPool(BOX_SIDE, strides, model.anchor_size),
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
