"""The training loss of a classifier."""

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy over a batch.

    Smoothed targets are (1 - smoothing) on the true class plus smoothing / K on every one, as in
    the published training (Szegedy et al., CVPR 2016, section 7).

    Args:
        logits: (B, K), any float type; the loss is taken in float32.
        target: classes (B,) as integers, or distributions (B, K), which are taken as they are.
        smoothing: from 0 to 1, for classes only: mixing has smoothed distributions already.

    Returns:
        The scalar loss, not negative.
    """
    if target.is_floating_point():
        return F.cross_entropy(logits.float(), target)
    return F.cross_entropy(logits.float(), target, label_smoothing=smoothing)
