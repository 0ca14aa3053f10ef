"""mmdetection's Res2Net-101 detectors: features, proposals' scores, and a hundred detections."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.ops import box_iou

from benchmarks.golden.compare import BAR, Outcome, difference, picture
from common.commands import trained
from common.commands.trained import Trained
from tasks.detection.checkpoints import known_classes, translation
from tasks.detection.config import ScoredConfig
from tasks.detection.inference import Detections, in_originals
from tasks.detection.model import LAYOUT, DetectionModel, build

RECIPES: Mapping[str, str] = {
    "mmdet_faster_rcnn_r2_101": "faster_rcnn_res2net101_mmdet",
    "mmdet_mask_rcnn_r2_101": "mask_rcnn_res2net101_mmdet",
    "mmdet_cascade_rcnn_r2_101": "cascade_rcnn_res2net101_mmdet",
    "mmdet_cascade_mask_rcnn_r2_101": "cascade_mask_rcnn_res2net101_mmdet",
    "mmdet_htc_r2_101": "htc_res2net101_mmdet",
}
"""Name of an entry -> recipe."""

SIZE, ORIGINAL = (155, 220), (124, 176)
"""Height and width of the picture as the network sees it, and as it is stored."""

_PADDED = (160, 224)
_OVERLAP, _SCORE = 0.99, 1e-3
"""Least IoU and greatest difference in score of detections that count as equal."""
_AREAS = 0.95
"""Least share of masks of equal area: rounding moves single pixels across the threshold."""


def config_of(recipe: str, *flags: str) -> ScoredConfig:
    """The settings of a recipe, for a file that is given by name; flags win."""
    words = ["--config", recipe, "--checkpoint", "published.pth", *flags]
    return trained.parse(ScoredConfig, words)


def loaded(config: ScoredConfig, state: Mapping[str, Tensor]) -> DetectionModel:
    """The recipe's network with weights under their published names, in eval mode."""
    weights = Trained(Path("published.pth"), translation(config)(state) or {}, None)
    classes = len(known_classes(weights).names)
    model = build(config.backbone, classes, config.model, config.test).eval()
    trained.load(model, weights, LAYOUT.explain)
    return model


def shown() -> tuple[Tensor, Tensor]:
    """The picture (1, 3, H, W), normalised and padded with zeros, and its size (1, 2)."""
    x = picture(*_PADDED, batch=1, seed=15)
    x[:, :, SIZE[0] :] = 0
    x[:, :, :, SIZE[1] :] = 0
    return x, torch.tensor([SIZE])


def features(model: DetectionModel, x: Tensor) -> dict[str, Tensor]:
    """The trunk's stages, the levels, and of each level the proposals' scores and offsets."""
    stages = model.backbone(x)
    levels = list(model.levels(stages).values())
    detector: Any = model.detector
    scores, offsets = detector.rpn.head(levels)
    found = {f"c{number}": stage for number, stage in enumerate(stages[1:], start=2)}
    for number, (level, score, offset) in enumerate(zip(levels, scores, offsets, strict=True), 2):
        found |= {f"p{number}": level, f"rpn_cls_p{number}": score, f"rpn_reg_p{number}": offset}
    return found


def detections(model: DetectionModel, x: Tensor, sizes: Tensor, config: ScoredConfig) -> Detections:
    """What is found, in pixels of the picture as it is stored."""
    found: Any = model.answer(x, model.backbone(x), sizes)
    return in_originals(found, sizes, torch.tensor([ORIGINAL]), config)[0]


def equal(found: Detections, recorded: Mapping[str, Any]) -> tuple[int, int]:
    """How many recorded detections were found, and how many of these have masks of equal area.

    Args:
        found: labels count from 1.
        recorded: `boxes`, `scores`, `labels` from 0, and of networks with masks `mask_areas`; where
            there are two kinds of them, the mean of the stages' masks is meant.
    """
    areas = recorded.get("mask_areas_mean_of_stages") or recorded.get("mask_areas")
    own = None if found.masks is None else coco_mask.area(found.masks)
    overlaps = box_iou(torch.from_numpy(found.boxes), torch.tensor(recorded["boxes"])).numpy()
    scores, labels = np.array(recorded["scores"]), np.array(recorded["labels"])
    overlaps[found.labels[:, None] != labels + 1] = 0
    overlaps[np.abs(found.scores[:, None] - scores) > _SCORE] = 0
    boxes = masks = 0
    for place in range(len(labels)):
        best = int(overlaps[:, place].argmax())
        if overlaps[best, place] <= _OVERLAP:
            continue
        boxes += 1
        masks += own is None or areas is None or int(own[best]) == int(areas[place])
        overlaps[best] = 0  # each stands for one
    return boxes, masks


def outcome(name: str, entry: Mapping[str, Any], state: Mapping[str, Tensor]) -> Outcome:
    """How near the recipe's network is to the entry.

    Args:
        name: a key of RECIPES.
        entry: with `names` of the `outputs`, and `detections`.
        state: weights under their published names.
    """
    config = config_of(RECIPES[name])
    model = loaded(config, state)
    x, sizes = shown()
    with torch.inference_mode():
        given = features(model, x)
        worst = difference([given[one] for one in entry["names"]], entry["outputs"])
        found = detections(model, x, sizes, config)
    recorded = entry["detections"]
    count = len(recorded["labels"])
    boxes, masks = equal(found, recorded)
    text = f"largest relative difference {worst:.1e}; {boxes} of {count} detections equal"
    if found.masks is not None:
        text += f", {masks} of {count} mask areas"
    passed = worst < BAR and boxes == count == len(found.labels) and masks >= _AREAS * count
    return Outcome(passed, text)
