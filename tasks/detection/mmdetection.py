"""Checkpoints of mmdetection's Res2Net detectors under the names of this project.

Faster, Mask, Cascade and Cascade Mask R-CNN and HTC with a feature pyramid, as versions 2 and 3 of
mmdetection name their layers.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from tasks.detection.published import COCO_NUMBERS

_STEM = "backbone.stem.0.weight"
_PROPOSALS = "rpn_head.rpn_conv.weight"
_BOX = 4
"""Rows of a box."""

_HEAD = "detector.roi_heads."
_NAMES = (
    (r"^backbone\.stem\.7\.", "backbone.bn1."),
    (r"^backbone\.stem\.", "backbone.conv1."),
    (r"^neck\.lateral_convs\.(\d)\.conv\.", r"neck.inner_blocks.\1.0."),
    (r"^neck\.fpn_convs\.(\d)\.conv\.", r"neck.layer_blocks.\1.0."),
    (r"^rpn_head\.rpn_conv\.", "detector.rpn.head.conv.0.0."),
    (r"^rpn_head\.rpn_cls\.", "detector.rpn.head.cls_logits."),
    (r"^rpn_head\.rpn_reg\.", "detector.rpn.head.bbox_pred."),
    (r"^roi_head\.semantic_head\.lateral_convs\.(\d)\.conv\.", r"detector.semantic.lateral.\1.0."),
    (r"^roi_head\.semantic_head\.convs\.(\d)\.conv\.", r"detector.semantic.convs.\1.0."),
    (r"^roi_head\.semantic_head\.conv_embedding\.conv\.", "detector.semantic.embedding.0."),
    (r"^roi_head\.semantic_head\.conv_logits\.", "detector.semantic.logits."),
    (r"^roi_head\.(bbox|mask)_head\.(\d)\.", rf"{_HEAD}stages.\2.\1_head."),
    (r"^roi_head\.(bbox|mask)_head\.", rf"{_HEAD}\1_head."),
    (r"\.bbox_head\.shared_fcs\.0\.", ".box_head.fc6."),
    (r"\.bbox_head\.shared_fcs\.1\.", ".box_head.fc7."),
    (r"\.bbox_head\.fc_cls\.", ".box_predictor.cls_score."),
    (r"\.bbox_head\.fc_reg\.", ".box_predictor.bbox_pred."),
    (r"\.mask_head\.convs\.(\d)\.conv\.", r".mask_head.\1.0."),
    (r"\.mask_head\.conv_res\.conv\.", ".mask_residual.0."),
    (r"\.mask_head\.upsample\.", ".mask_predictor.conv5_mask."),
    (r"\.mask_head\.conv_logits\.", ".mask_predictor.mask_fcn_logits."),
)


def is_mmdetection(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the weights of one of mmdetection's two-stage Res2Net detectors."""
    return _STEM in state and _PROPOSALS in state


def from_mmdetection(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights under the names of `DetectionModel`; None if they are of something else.

    The background is the last class there and the first one here; boxes and masks, which have none
    there, get rows of zeros for it. Of the semantic branch's label map the rows of COCO's 80
    classes are kept: what it makes of stuff decides no detection.
    """
    if not is_mmdetection(state):
        return None
    return {_renamed(key): _with_background(key, value) for key, value in state.items()}


def _renamed(key: str) -> str:
    for pattern, replacement in _NAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _with_background(key: str, value: Tensor) -> Tensor:
    """The rows of the classes in the order of this project, the background's first."""
    if ".fc_cls." in key:
        return value.roll(1, dims=0)
    if ".fc_reg." in key and len(value) > _BOX:
        return torch.cat((torch.zeros_like(value[:_BOX]), value))
    if "semantic_head.conv_logits." in key and len(value) > max(COCO_NUMBERS):
        # Rows of COCO's label maps are its numbers less one.
        value = value[[number - 1 for number in COCO_NUMBERS]]
    if ".conv_logits." in key:
        return torch.cat((torch.zeros_like(value[:1]), value))
    return value
