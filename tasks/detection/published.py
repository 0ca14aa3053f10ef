"""Checkpoints of torchvision's detectors under the names of this project."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

COCO_ROWS = 91
"""Classes of torchvision's COCO models: the background, and COCO's numbers up to 90."""
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers that COCO gives to no class."""

COCO_NUMBERS = tuple(number for number in range(1, COCO_ROWS) if number not in COCO_GAPS)
"""Of COCO's 80 classes, in the order of their labels here."""
COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Their names, as COCO's annotation files spell them."""

# torchvision's published files are from before some layers were renamed, new ones from after.
_RENAMED = (
    (r"(fpn\.(?:inner|layer)_blocks\.\d)\.(\w+)$", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(\w+)$", r"\1.0.0.\2"),
    *((rf"mask_fcn{number + 1}\.", f"{number}.0.") for number in range(4)),
)
_RETINANET = tuple(
    (rf"(_head\.conv)\.{2 * number}\.(\w+)$", rf"\1.{number}.0.\2") for number in range(4)
)
_MOVED = (
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.", "neck."),
    (r"^(rpn|roi_heads|head)\.", r"detector.\1."),
)
_OF_CLASSES = re.compile(r"roi_heads\..*(cls_score|bbox_pred|mask_fcn_logits)\.")


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A torchvision detector's weights under the names of `DetectionModel`; None if it is no such.

    Takes Faster R-CNN, Mask R-CNN, RetinaNet and FCOS on a ResNet. Of a COCO model the rows of the
    ten numbers that no class has are left out, and for one stage those of the background, so that
    the classes are COCO's 80 in the order of their numbers.
    """
    if not any(key.startswith("backbone.body.") for key in state):
        return None
    names = _RENAMED + _MOVED
    if not any("bbox_ctrness" in key for key in state):  # FCOS's layers look like the old ones
        names = _RETINANET + names
    return {_renamed(key, names): _of_coco(key, value) for key, value in state.items()}


def _renamed(key: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key


def _of_coco(key: str, value: Tensor) -> Tensor:
    """The rows of COCO's 80 classes, and of the background for two stages."""
    numbers = [0, *COCO_NUMBERS]
    if _OF_CLASSES.search(key) and len(value) % COCO_ROWS == 0:  # classes, then a box's four
        return torch.unflatten(value, 0, (COCO_ROWS, -1))[numbers].flatten(0, 1)
    if "classification_head.cls_logits" in key and len(value) % COCO_ROWS == 0:
        return torch.unflatten(value, 0, (-1, COCO_ROWS))[:, numbers[1:]].flatten(0, 1)
    return value
