"""Training losses of label maps.

All are means over the samples of a batch, of each sample's mean over its labelled pixels. So a
batch that is cut into micro-batches or spread over ranks has the same loss, and its gradient does
not depend on how much of the crops is padding. A sample without any label counts as 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = 255
"""Label of pixels that are neither trained on nor scored."""


def cross_entropy(
    logits: Tensor, labels: Tensor, hard_threshold: float = 1.0, hard_share: float = 0.1
) -> Tensor:
    """Cross-entropy, of all labelled pixels or of the hard ones only.

    Online hard example mining in the manner of Wu, Shen and van den Hengel, "High-performance
    Semantic Segmentation Using Very Deep Fully Convolutional Networks", arXiv:1604.04339: pixels
    whose true class has a probability below the threshold, but in any case the hardest share.

    Args:
        logits: (B, C, H, W), any float type; the loss is taken in float32.
        labels: (B, H, W) whole numbers, 0 to C - 1 or 255.
        hard_threshold: probability from which on a pixel is easy; 1 takes all.
        hard_share: share of a sample's labelled pixels that is taken in any case.

    Returns:
        The scalar loss, not negative.
    """
    losses = F.cross_entropy(logits.float(), labels.long(), ignore_index=IGNORED, reduction="none")
    taken = labels != IGNORED
    if hard_threshold < 1:
        taken = taken & _hard(losses.detach(), taken, hard_threshold, hard_share)
    taken = taken.flatten(1)
    return ((losses.flatten(1) * taken).sum(1) / taken.sum(1).clamp(min=1)).mean()


def _hard(losses: Tensor, labelled: Tensor, threshold: float, share: float) -> Tensor:
    """Which pixels (B, H, W) are hard, or among the hardest share of their sample."""
    # -1 sorts pixels without a label behind all others.
    ranked = torch.where(labelled, losses, -1.0).flatten(1)
    kept = (share * labelled.flatten(1).sum(1)).ceil().long().clamp(min=1)
    least = ranked.sort(dim=1, descending=True).values.gather(1, kept[:, None] - 1)
    easiest = torch.minimum(least, least.new_tensor(threshold).log().neg())
    return (losses.flatten(1) >= easiest).view_as(labelled)


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the Dice coefficient, averaged over the classes that a sample has labels of.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, with the probabilities of a softmax and a
    denominator of plain sums.

    Args:
        logits: (B, C, H, W), any float type; the loss is taken in float32.
        labels: (B, H, W) whole numbers, 0 to C - 1 or 255.

    Returns:
        The scalar loss between 0 and 1.
    """
    labelled = labels != IGNORED
    probabilities = logits.float().softmax(dim=1) * labelled[:, None]
    classes = logits.shape[1]
    truth = F.one_hot(labels.long().where(labelled, classes), classes + 1)[..., :classes]
    truth = truth.permute(0, 3, 1, 2).to(probabilities.dtype)
    common = (probabilities * truth).sum(dim=(2, 3))
    areas = truth.sum(dim=(2, 3))
    overlap = 2 * common / (probabilities.sum(dim=(2, 3)) + areas).clamp(min=1e-7)
    present = areas > 0
    missed = ((1 - overlap) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
    return missed.mean()
