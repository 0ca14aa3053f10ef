"""The loss of the semantic head: a pure function of its logits and label maps."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = 255
"""Label of pixels that nobody labelled."""


def semantic_term(logits: Tensor, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Mean cross-entropy over the labelled pixels of a batch; 0 without any.

    Args:
        logits: (B, C, h, w).
        maps: (H, W) of each picture, classes from 0 on and IGNORED.
        size: height and width of the padded batch, in which logits are compared.
    """
    wanted = torch.full((len(logits), *size), IGNORED, dtype=torch.int64, device=logits.device)
    for whole, labels in zip(wanted, maps, strict=True):
        whole[: labels.shape[0], : labels.shape[1]] = labels
    full = F.interpolate(logits.float(), size=tuple(size), mode="bilinear", align_corners=False)
    total = F.cross_entropy(full, wanted, ignore_index=IGNORED, reduction="sum")
    return total / (wanted != IGNORED).sum().clamp(min=1)
