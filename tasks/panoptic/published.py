"""Checkpoints of Panoptic FPN on Res2Net, by mmdetection and detectron2, under the names here."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from backbone.wrappings import under
from common.errors import UserError
from tasks.detection.mmdetection import from_mmdetection, is_mmdetection
from tasks.detection.model import MEAN, STD

COCO_STUFF = {
    92: "banner", 93: "blanket", 95: "bridge", 100: "cardboard", 107: "counter", 109: "curtain",
    112: "door-stuff", 118: "floor-wood", 119: "flower", 122: "fruit", 125: "gravel",
    128: "house", 130: "light", 133: "mirror-stuff", 138: "net", 141: "pillow", 144: "platform",
    145: "playingfield", 147: "railroad", 148: "river", 149: "road", 151: "roof", 154: "sand",
    155: "sea", 156: "shelf", 159: "snow", 161: "stairs", 166: "tent", 168: "towel",
    171: "wall-brick", 175: "wall-stone", 176: "wall-tile", 177: "wall-wood", 178: "water-other",
    180: "window-blind", 181: "window-other", 184: "tree-merged", 185: "fence-merged",
    186: "ceiling-merged", 187: "sky-other-merged", 188: "cabinet-merged", 189: "table-merged",
    190: "floor-other-merged", 191: "pavement-merged", 192: "mountain-merged",
    193: "grass-merged", 194: "dirt-merged", 195: "paper-merged", 196: "food-other-merged",
    197: "building-other-merged", 198: "rock-merged", 199: "wall-other-merged",
    200: "rug-merged",
}  # fmt: skip
"""COCO's 53 classes of stuff by id, as its panoptic annotation files spell them."""

_LOGITS = "semantic_head.conv_logits."
_MMDETECTION = (
    (r"^semantic_head\.conv_upsample_layers\.(\d)\.conv\.(\d)\.conv\.", r"semantic.levels.\1.\2c."),
    (r"^semantic_head\.conv_upsample_layers\.(\d)\.conv\.(\d)\.gn\.", r"semantic.levels.\1.\2n."),
    (r"^semantic_head\.conv_logits\.", "semantic.predictor."),
    # Between two convolutions lies an upsampling, which has a number and no weights.
    *((rf"\.{place}c\.", f".{2 * place}.0.") for place in range(3)),
    *((rf"\.{place}n\.", f".{2 * place}.1.") for place in range(3)),
)

_DETECTRON2 = (
    (r"^backbone\.bottom_up\.stem\.conv1\.", "backbone.stem."),
    (r"^backbone\.bottom_up\.stem\.bn1\.", "backbone.stem.7."),
    *((rf"^backbone\.bottom_up\.res{n}\.", f"backbone.layer{n - 1}.") for n in range(2, 6)),
    (r"\.conv([13])\.norm\.", r".bn\1."),
    (r"\.shortcut\.1\.norm\.", ".downsample.2."),
    (r"\.shortcut\.1\.", ".downsample.1."),
    *((rf"^backbone\.fpn_lateral{n}\.", f"neck.lateral_convs.{n - 2}.conv.") for n in range(2, 6)),
    *((rf"^backbone\.fpn_output{n}\.", f"neck.fpn_convs.{n - 2}.conv.") for n in range(2, 6)),
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn_head.rpn_conv."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn_head.rpn_cls."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn_head.rpn_reg."),
    (r"^roi_heads\.box_head\.fc1\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"^roi_heads\.box_head\.fc2\.", "roi_head.bbox_head.shared_fcs.1."),
    (r"^roi_heads\.box_predictor\.cls_score\.", "roi_head.bbox_head.fc_cls."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "roi_head.bbox_head.fc_reg."),
    *(
        (rf"^roi_heads\.mask_head\.mask_fcn{n}\.", f"roi_head.mask_head.convs.{n - 1}.conv.")
        for n in range(1, 5)
    ),
    (r"^roi_heads\.mask_head\.deconv\.", "roi_head.mask_head.upsample."),
    (r"^roi_heads\.mask_head\.predictor\.", "roi_head.mask_head.conv_logits."),
)
"""detectron2's names and those of mmdetection, which has its order of classes too."""
_SEMANTIC = (
    (r"^p([2-5])\.(\d)\.norm\.", r"semantic.levels.p\1.\2.1."),
    (r"^p([2-5])\.(\d)\.", r"semantic.levels.p\1.\2.0."),
    *((rf"\.p{n}\.", f".{n - 2}.") for n in range(2, 6)),
    (r"^predictor\.", "semantic.predictor."),
)
_PIXELS = ("pixel_mean", "pixel_std")
"""The normalisation, which belongs to the model here and is no weight."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The weights under the names of `PanopticModel`; None if they are of something else.

    Raises:
        UserError: they are of a model that normalises pictures otherwise.
    """
    if is_detectron2(state):
        return _from_detectron2(state)
    if not is_mmdetection(state) or f"{_LOGITS}weight" not in state:
        return None
    things = {key: value for key, value in state.items() if not key.startswith("semantic_head.")}
    stuff = {
        # Things are the last row there and the first one here.
        _renamed(key, _MMDETECTION): value.roll(1, dims=0) if key.startswith(_LOGITS) else value
        for key, value in state.items()
        if key not in things
    }
    return {**(from_mmdetection(things) or {}), **stuff}


def is_detectron2(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the weights of Res2Net-detectron2's Panoptic FPN."""
    return (
        "backbone.bottom_up.stem.bn1.weight" in state and "sem_seg_head.predictor.weight" in state
    )


def _from_detectron2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for key, own in zip(_PIXELS, (MEAN, STD), strict=True):
        wanted = 255 * torch.tensor(own)
        if key in state and not torch.allclose(state[key].flatten().float(), wanted, atol=0.01):
            found = [round(one, 3) for one in state[key].flatten().tolist()]
            raise UserError(
                f"{key} of these weights is {found}, and this model takes RGB with "
                f"{[round(one, 3) for one in wanted.tolist()]}: they would give other results"
            )
    semantic = under("sem_seg_head.", state)
    things = {
        _renamed(key, _DETECTRON2): value
        for key, value in state.items()
        if not key.startswith("sem_seg_head.") and key not in _PIXELS
    }
    stuff = {_renamed(key, _SEMANTIC): value for key, value in semantic.items()}
    return {**(from_mmdetection(things) or {}), **stuff}


def _renamed(key: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key
