"""Training losses of the middle slice's labels: cross-entropy and Dice."""

from torch import Tensor

from common.networks.losses import cross_entropy, dice
from tasks.volumes.config import LossConfig


def terms(logits: Tensor, labels: Tensor, weights: LossConfig) -> dict[str, Tensor]:
    """The weighted terms whose sum is minimised, each a mean over the samples.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W) whole numbers, 0 to C - 1, or 255 outside of the scan.
        weights: of the terms.
    """
    found = {}
    if weights.cross_entropy:
        found["cross_entropy"] = weights.cross_entropy * cross_entropy(logits, labels)
    if weights.dice:
        found["dice"] = weights.dice * dice(logits, labels)
    return found
