"""Proposals first, then the class, the box and the mask of each: Faster R-CNN and Mask R-CNN.

Ren, He, Girshick and Sun, "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature Pyramid Networks for
Object Detection", CVPR 2017. The parts are torchvision's; its parameter names are kept.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from tasks.detection.anchors import RATIOS, Anchors
from tasks.detection.config import ModelConfig
from tasks.detection.heads import Found, Targets
from tasks.detection.pooling import Features


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
        found, more = self.roi_heads(self.seen(features), proposals, images.image_sizes, targets)
        return found, {**terms, **more}

    def seen(self, features: Features) -> Features:
        """What the heads pool from."""
        return features


class ProposalHead(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """torchvision's head with outputs in full precision: boxes are computed from them."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness (B, A, h, w) and offsets (B, 4 A, h, w) of every level."""
        objectness, offsets = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in offsets]


def rpn(strides: Sequence[int], model: ModelConfig) -> RegionProposalNetwork:
    """The region proposal network on five levels of these strides."""
    sizes = tuple((model.anchor_size * 2**level,) for level in range(len(strides)))
    training, testing = model.proposals
    numbers = {"training": training, "testing": testing}
    anchors = Anchors(
        sizes,
        (RATIOS,) * len(sizes),
        rounded=model.rules.rounded_anchors,
        strides=strides if model.rules.fixed_strides else None,
    )
    return RegionProposalNetwork(
        anchors,
        ProposalHead(model.channels, len(RATIOS)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=numbers,
        post_nms_top_n=numbers,
        nms_thresh=0.7,
    )
