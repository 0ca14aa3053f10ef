"""The training losses: cross entropy as published, and two that look at structure.

Masks and edge maps are bytes (B, 1, H, W), 0..255. Every loss is a mean over the pictures.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.salient.config import LossConfig
from tasks.salient.model import Logits

Reduction = Literal["sum", "mean"]

AROUND = 31
"""Side of the window in which the structure loss looks for other kinds of pixels."""
WINDOW, DEVIATION = 11, 1.5
"""Side and standard deviation of the Gaussian window of the structural similarity, in pixels."""


def terms(logits: Logits, batch: Mapping[str, Tensor], config: LossConfig) -> dict[str, Tensor]:
    """The losses that the config asks for, by name and with their weights; their sum is minimised.

    Coarser maps and outlines have a loss where the network gives them, and edges where the batch
    has edge pictures.

    Args:
        logits: of the network.
        batch: with mask and valid, and with edge_map for the edge pictures.
        config: which losses, and how they are reduced.
    """
    mask, valid = batch["mask"], batch["valid"]
    found = {"saliency": _main_loss(logits.saliency, mask, valid, config)}
    if config.iou:
        found["iou"] = config.iou * iou_loss(logits.saliency, mask, valid)
    if config.ssim:
        found["ssim"] = config.ssim * ssim_loss(logits.saliency, mask, valid)
    if logits.sides and config.sides:
        each = [_main_loss(side, mask, valid, config) for side in logits.sides]
        found["sides"] = config.sides * torch.stack(each).sum()
    if logits.contour is not None and config.contour:
        found["contour"] = config.contour * contour_loss(logits.contour, mask, valid)
    if logits.edges is not None:
        found["edge"] = edge_loss(logits.edges, batch["edge_map"], config.reduction)
    return found


def _main_loss(logits: Tensor, mask: Tensor, valid: Tensor, config: LossConfig) -> Tensor:
    """The loss that every map of an object has."""
    if config.main == "structure":
        return structure_loss(logits, mask, valid)
    return saliency_loss(logits, mask, valid, config.reduction)


def saliency_loss(logits: Tensor, mask: Tensor, valid: Tensor, reduction: Reduction) -> Tensor:
    """Binary cross entropy with a soft mask, summed or averaged over each picture's valid pixels.

    Args:
        logits: (B, 1, H, W), any float type; the loss is taken in float32.
        mask: (B, 1, H, W) bytes.
        valid: (B, 1, H, W) bytes, 0 where there is padding and 1 elsewhere.
        reduction: "sum" as PoolNet is trained, "mean" to be independent of the size.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), mask / 255, reduction="none")
    sums = (losses * valid).sum(dim=(1, 2, 3))
    if reduction == "mean":
        sums = sums / valid.sum(dim=(1, 2, 3))
    return sums.mean()


def structure_loss(logits: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
    """Cross entropy plus 1 - intersection over union, pixels near borders weighing up to 6 times.

    A pixel weighs 1 + 5 |share of the object around it - mask| (Wei, Wang, Huang, F3Net, AAAI
    2020), as in the papers of PraNet, Inf-Net and SINet-V2. Their published code weighs the
    intersection alone: its cross entropy is averaged before it is weighed.
    """
    target = mask / 255 * valid
    around = F.avg_pool2d(target, AROUND, stride=1, padding=AROUND // 2)
    weights = (1 + 5 * (around - target).abs()) * valid
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    entropy = _total(losses * weights) / _total(weights)
    map_ = logits.float().sigmoid()
    intersection = _total(map_ * target * weights)
    union = _total((map_ + target) * weights) - intersection
    return (entropy + 1 - (intersection + 1) / (union + 1)).mean()


def contour_loss(logits: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
    """Binary cross entropy of the objects' outlines, averaged over each picture's valid pixels.

    The outline is where a neighbour of a pixel is of the other kind, on either side of the border.
    """
    inside = (mask > 127).float()
    beside = F.max_pool2d(inside, 3, stride=1, padding=1)
    within = -F.max_pool2d(-inside, 3, stride=1, padding=1)
    target = (beside - within) * valid
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (_total(losses * valid) / _total(valid)).mean()


def iou_loss(logits: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
    """1 - intersection over union of map and mask, both soft (Qin et al., BASNet, CVPR 2019)."""
    target = mask / 255 * valid
    map_ = logits.float().sigmoid() * valid
    intersection = (map_ * target).sum(dim=(1, 2, 3))
    union = (map_ + target).sum(dim=(1, 2, 3)) - intersection
    return (1 - (intersection + 1e-6) / (union + 1e-6)).mean()


def ssim_loss(logits: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
    """1 - structural similarity of map and mask in Gaussian windows (Wang et al., TIP 2004).

    As in BASNet the windows go beyond the border, where both are 0; so both are in the padding.
    """
    target = mask / 255 * valid
    map_ = logits.float().sigmoid() * valid
    mean_map, mean_target = _blurred(map_), _blurred(target)
    variance_map = _blurred(map_ * map_) - mean_map**2
    variance_target = _blurred(target * target) - mean_target**2
    covariance = _blurred(map_ * target) - mean_map * mean_target
    luminance = (2 * mean_map * mean_target + 1e-4) / (mean_map**2 + mean_target**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (variance_map + variance_target + 9e-4)
    different = (1 - luminance * structure) * valid
    return (different.sum(dim=(1, 2, 3)) / valid.sum(dim=(1, 2, 3))).mean()


def edge_loss(logits: Tensor, edges: Tensor, reduction: Reduction) -> Tensor:
    """Class-balanced cross entropy of the edge maps, summed over the maps.

    As in the published joint training: levels above a half are edges, 0 is background, and the
    rest does not count. Edges weigh the share of the background, the background 1.1 times the share
    of the edges.

    Args:
        logits: (B, K, H, W) of K maps of the same edges.
        edges: (B, 1, H, W) bytes.
        reduction: over the pixels of a picture; "mean" divides by those that count.
    """
    positive, negative = (edges > 127).float(), (edges == 0).float()
    positives, negatives = (part.sum(dim=(2, 3), keepdim=True) for part in (positive, negative))
    total = (positives + negatives).clamp(min=1)
    weights = positive * negatives / total + negative * 1.1 * positives / total
    losses = F.binary_cross_entropy_with_logits(
        logits.float(), positive.expand_as(logits), weights.expand_as(logits), reduction="none"
    )
    sums = losses.sum(dim=(1, 2, 3))
    if reduction == "mean":
        sums = sums / total.flatten()
    return sums.mean()


def _total(values: Tensor) -> Tensor:
    """Sums (B,) over the pixels of each picture."""
    return values.sum(dim=(1, 2, 3))


def _blurred(maps: Tensor) -> Tensor:
    """Maps (B, 1, H, W) under the Gaussian window, with zeros beyond the border."""
    steps = torch.arange(WINDOW, device=maps.device) - WINDOW // 2
    window = torch.exp(-(steps**2) / (2 * DEVIATION**2))
    window = window / window.sum()
    # Variances are small differences of squares, too small for bfloat16.
    with torch.autocast(maps.device.type, enabled=False):
        across = F.conv2d(maps, window.view(1, 1, 1, -1), padding=(0, WINDOW // 2))
        return F.conv2d(across, window.view(1, 1, -1, 1), padding=(WINDOW // 2, 0))
