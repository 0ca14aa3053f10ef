"""Non-maximum suppression of a whole batch as one operator, which ONNX has too."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

_ALL = 2**63 - 1
"""As many boxes of a group and class as are left."""
_TRUTH = 9
"""ONNX's number for the type of truth values."""


@torch.library.custom_op("detection::suppress", mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, overlap: float, least: Tensor) -> Tensor:
    """Which boxes are left of each group and class when those that overlap a better one are gone.

    Args:
        boxes: (G, N, 4), left, top, right, bottom.
        scores: (G, C, N).
        overlap: IoU above which the worse box is dropped.
        least: a scalar; boxes that score this or less are not looked at.

    Returns:
        (G, C, N), True for the boxes that are left.
    """
    left = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    for group, of_group in enumerate(scores):
        for label, of_class in enumerate(of_group):
            places = torch.nonzero(of_class > least)[:, 0]
            kept = nms(boxes[group, places], of_class[places], overlap)
            left[group, label, places[kept]] = True
    return left


@suppress.register_fake
def _(boxes: Tensor, scores: Tensor, overlap: float, least: Tensor) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def _in_onnx(boxes: Any, scores: Any, overlap: float, least: Any) -> Any:
    """`suppress` in ONNX's operators, for the exporter."""
    operators: Any = importlib.import_module("onnxscript").opset18
    chosen = operators.NonMaxSuppression(boxes, scores, _ALL, overlap, least)
    count = operators.Shape(chosen, start=0, end=1)
    true = operators.Cast(operators.Expand(1, count), to=_TRUTH)
    nothing = operators.Cast(operators.Expand(0, operators.Shape(scores)), to=_TRUTH)
    return operators.ScatterND(nothing, chosen, true)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.detection.suppress.default: _in_onnx
}
"""For `common.commands.export.Graph`."""
