"""The training losses, all in float32: of identities, of pairs, and of distances to centers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.reid.config import LossConfig

# An exponent that adds nothing. Not infinity, whose logsumexp has no gradient.
_NEVER = -1e6


def terms(
    features: Tensor, logits: Tensor, labels: Tensor, centers: Tensor | None, config: LossConfig
) -> dict[str, Tensor]:
    """The weighted terms whose sum is minimised, each a mean over the pictures.

    Args:
        features: (B, C) before the neck.
        logits: (B, persons)
        labels: (B,)
        centers: (persons, C), None without the center loss.
        config: which terms there are.
    """
    found = {"identity": identity_loss(logits, labels, config.label_smoothing)}
    if config.pairs == "triplet":
        found["triplet"] = triplet_loss(features, labels, config.triplet_margin)
    if config.pairs == "circle":
        found["circle"] = circle_loss(features, labels, config.circle_margin, config.circle_scale)
    if centers is not None:
        found["center"] = config.center_weight * center_loss(features, labels, centers)
    return found


def identity_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of logits (B, persons) with labels (B,).

    The share `smoothing` of the target is spread evenly over all persons, the true one included
    (Szegedy et al., CVPR 2016).
    """
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def triplet_loss(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Batch-hard triplet loss (Hermans et al., 2017), the mean over the pictures.

    Each picture's farthest one of its person has to be nearer, by the margin, than its nearest of
    another.

    Args:
        features: (B, C), compared by Euclidean distance as they are.
        labels: (B,) persons, at least two different ones.
        margin: a distance.
    """
    # Not by way of products, whose rounding would make small distances noise.
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    farthest = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
    return F.relu(farthest - nearest + margin).mean()


def circle_loss(features: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Circle loss with pair-wise labels (Sun et al., CVPR 2020, eq. 6), the mean over the pictures.

    Args:
        features: (B, C), compared by the cosine.
        labels: (B,) persons. A picture alone of its person, or beside no other, counts as 0.
        margin: m.
        scale: gamma.
    """
    unit = F.normalize(features, dim=1)
    similarity = unit @ unit.T
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    # The weights count as constants: eq. 5 does not differentiate them.
    pull = (1 + margin - similarity.detach()).clamp(min=0)
    push = (similarity.detach() + margin).clamp(min=0)
    positive = -scale * pull * (similarity - (1 - margin))
    negative = scale * push * (similarity - margin)
    positive = positive.masked_fill(~same | itself, _NEVER).logsumexp(dim=1)
    negative = negative.masked_fill(same, _NEVER).logsumexp(dim=1)
    return F.softplus(positive + negative).mean()


def center_loss(features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Squared distance of features (B, C) to the centers (persons, C) of their labels (B,), mean.

    Wen et al., ECCV 2016, without its factor 1/2, as in the strong baseline. The centers learn by
    `center_step`.
    """
    return (features - centers[labels]).square().sum(dim=1).mean()


@torch.no_grad()
def center_step(features: Tensor, labels: Tensor, centers: Tensor, rate: float) -> Tensor:
    """What to add to the centers (persons, C) after a batch of features (B, C) and labels (B,).

    A step of SGD of that rate on the unweighted `center_loss`, which is how the strong baseline
    moves its centers beside the main optimizer. It is a mean over the samples, so that the steps of
    several ranks are averaged; persons beyond the batch do not move.
    """
    # A product rather than an indexed sum, whose order of summation a GPU would leave to chance.
    members = F.one_hot(labels, len(centers)).to(features.dtype)
    return members.T @ (features - centers[labels]) * (2 * rate / len(labels))
