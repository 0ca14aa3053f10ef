"""Training losses of label maps.

All are means over the samples of a batch, of each sample's mean over its labelled pixels. So a
batch that is cut into micro-batches or spread over ranks has the same loss, and its gradient does
not depend on how much of the crops is padding. A sample without any label counts as 0.
"""

from torch import Tensor

from common.networks.losses import cross_entropy, dice
from tasks.segmentation.config import LossConfig


def terms(
    main: Tensor, auxiliary: Tensor | None, labels: Tensor, weights: LossConfig
) -> dict[str, Tensor]:
    """The weighted terms whose sum is minimised.

    Args:
        main: logits (B, C, H, W) of the decoder.
        auxiliary: logits (B, C, H, W) of the auxiliary head, or None.
        labels: (B, H, W) whole numbers, 0 to C - 1 or 255.
        weights: of the terms, and which pixels count.
    """
    hard = (weights.hard_threshold, weights.hard_share)
    found = {}
    if weights.cross_entropy:
        found["cross_entropy"] = weights.cross_entropy * cross_entropy(main, labels, *hard)
    if weights.dice:
        found["dice"] = weights.dice * dice(main, labels)
    if auxiliary is not None:
        found["auxiliary"] = weights.auxiliary * cross_entropy(auxiliary, labels, *hard)
    return found
