"""The training losses: normalised focal loss, and FCA-Net's cross entropy around clicks.

Logits are (B, 1, H, W); labels (B, H, W) are 1 on the object, 0 beside it and 255 where ignored.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.interactive.config import LossConfig
from tasks.interactive.masks import IGNORED
from tasks.interactive.parts import Maps

_REACH = 100.0
"""Pixels from a click at which it has no weight of its own any more."""
_LEAST, _MORE = 0.8, 1.2
"""Weight of a pixel far from clicks, and what it has more at one."""
_TINY = 1e-8


def terms(
    maps: Maps, label: Tensor, nearest: Tensor, first: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """The terms of the loss that the config asks for, by name; their sum is minimised.

    Args:
        maps: of the network.
        label: (B, H, W) bytes.
        nearest: (B, 2, H, W), pixels from the nearest positive and the nearest negative click.
        first: (B, H, W), pixels from the first one.
        config: which loss.
    """
    counts = (label != IGNORED).float()
    truth = (label == 1).float()
    logits = maps.mask[:, 0].float()
    if config.name == "focal":
        return {"focal": focal(logits, truth, counts, config.gamma)}
    assert maps.first is not None  # the config says so
    weight = click_weight(torch.where(label == 1, nearest[:, 0], nearest[:, 1]))
    alone = torch.where(label == 1, click_weight(first), _LEAST)
    return {
        "clicks": weighted(logits, truth, counts * weight, counts),
        "first": weighted(maps.first[:, 0].float(), truth, counts * alone, counts),
    }


def focal(logits: Tensor, truth: Tensor, counts: Tensor, gamma: float) -> Tensor:
    """Half of the mean of w (-ln p), w = (1 - p)^gamma over its own mean, p of the right answer.

    The mean of w, which no gradient passes, is of each picture (Sofiiuk et al., ICCV 2019).

    Args:
        logits: (B, H, W).
        truth: (B, H, W), 0 or 1.
        counts: (B, H, W), 0 where a pixel is ignored.
        gamma: how much less sure pixels count.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = (1 - (-entropy).exp()).clamp_min(0) ** gamma * counts
    pixels = counts.sum((1, 2)).clamp_min(1)
    factor = (pixels / weight.sum((1, 2)).clamp_min(_TINY)).detach()
    return 0.5 * (factor * (weight * entropy).sum((1, 2)) / pixels).mean()


def click_weight(distances: Tensor) -> Tensor:
    """How much pixels count by their distance from a click: 2 there, 0.8 from 100 pixels on."""
    return _LEAST + _MORE * (1 - distances.clamp(max=_REACH) / _REACH)


def weighted(logits: Tensor, truth: Tensor, weight: Tensor, counts: Tensor) -> Tensor:
    """The mean over the pixels that count of the weighted cross entropy."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (weight * entropy).sum() / counts.sum().clamp_min(1)
