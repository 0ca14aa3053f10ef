"""What training needs beyond torchvision's losses: pure functions of outputs and targets."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

UNMATCHED = -1
"""Stands for the object of a place that shows none."""


def stage_terms(
    logits: Tensor, offsets: Tensor, labels: Tensor, wanted: Tensor
) -> dict[str, Tensor]:
    """Terms of one stage of a cascade, whose box does not depend on the class.

    Args:
        logits: (N, classes + 1).
        offsets: (N, 4), of the boxes.
        labels: (N,), 0 for the background.
        wanted: (N, 4), offsets to the objects; those of the background do not count.

    Returns:
        "classifier", the mean cross-entropy, and "box_reg", the smooth L1 distance over the boxes
        that show an object, divided by N.
    """
    shows = labels > 0
    distance = F.smooth_l1_loss(offsets[shows], wanted[shows], reduction="sum")
    return {
        "classifier": F.cross_entropy(logits, labels),
        "box_reg": distance / max(1, len(labels)),
    }


def fcos_matches(cells: Tensor, per_level: list[int], boxes: Tensor, radius: float = 1.5) -> Tensor:
    """Which object each place of the pyramid is to find, (P,), -1 for none.

    A place must lie in the object's box, within `radius` strides of its centre, and the object must
    have the size of the place's level; of several objects the smallest is taken. Tian et al.,
    "FCOS: A Simple and Strong Anchor-free Object Detector", TPAMI 2020.

    Args:
        cells: (P, 4), squares as large as the stride around the places, finest level first.
        per_level: number of places of each level.
        boxes: (N, 4), of the objects.
        radius: of the centre, in strides.
    """
    if not len(boxes):
        return torch.full((len(cells),), UNMATCHED, device=cells.device)
    places = (cells[:, :2] + cells[:, 2:]) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    strides = cells[:, 2] - cells[:, 0]
    apart = (places[:, None] - centres).abs().amax(dim=2)
    sides = torch.cat((places[:, None] - boxes[:, :2], boxes[:, 2:] - places[:, None]), dim=2)
    least, greatest = 4 * strides, 8 * strides
    least[: per_level[0]] = 0
    greatest[len(cells) - per_level[-1] :] = torch.inf
    reach = sides.amax(dim=2)
    fits = (apart < radius * strides[:, None]) & (sides.amin(dim=2) > 0)
    fits &= (reach > least[:, None]) & (reach < greatest[:, None])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).expand(len(cells), -1)
    smallest, match = torch.where(fits, areas, torch.inf).min(dim=1)
    return torch.where(smallest < torch.inf, match, UNMATCHED)


def mask_term(
    logits: Tensor,
    boxes: Sequence[Tensor],
    masks: Sequence[Tensor],
    labels: Tensor,
    matches: Sequence[Tensor],
    *,
    aligned: bool,
    binary: bool,
) -> Tensor:
    """Mean cross-entropy of masks with what their boxes show of an object.

    Args:
        logits: (N, classes + 1, side, side), of the boxes of all pictures.
        boxes: (n, 4) of each picture, in pixels.
        masks: (objects, h, w) of each picture, 0 and 1.
        labels: (N,), from 1 on.
        matches: (n,) of each picture, the object of each box.
        aligned: a pixel's value lies at its centre; otherwise at its number.
        binary: a place is 1 from a half of it on; otherwise the share of it.
    """
    if not len(labels):
        return logits.sum() * 0
    targets = torch.cat(
        [
            roi_align(
                of_picture[:, None].to(box),
                torch.cat((match[:, None].to(box), box), dim=1),
                logits.shape[-1],
                aligned=aligned,
            )[:, 0]
            for of_picture, box, match in zip(masks, boxes, matches, strict=True)
        ]
    )
    targets = (targets >= 0.5).to(targets) if binary else targets
    of_class = logits[torch.arange(len(labels), device=labels.device), labels]
    return F.binary_cross_entropy_with_logits(of_class, targets)


def semantic_term(
    logits: Tensor, targets: Sequence[Mapping[str, Tensor]], size: Sequence[int]
) -> Tensor:
    """Mean cross-entropy of each place with the class of the smallest object there, 0 for none.

    Args:
        logits: (B, classes + 1, h, w).
        targets: of each picture "labels" (N,) from 1 on, and "masks" (N, rows, columns).
        size: height and width of the batch; what lies beyond a picture does not count.
    """
    wanted = torch.full(
        (len(logits), *logits.shape[-2:]), UNMATCHED, dtype=torch.int64, device=logits.device
    )
    down, across = (side // places for side, places in zip(size, logits.shape[-2:], strict=True))
    for of_picture, target in zip(wanted, targets, strict=True):
        # The pixels in the middle of the places.
        masks = target["masks"][:, down // 2 :: down, across // 2 :: across].bool()
        shown = of_picture[: masks.shape[1], : masks.shape[2]]
        shown.zero_()
        for place in masks.sum(dim=(1, 2)).argsort(descending=True).tolist():
            shown[masks[place]] = target["labels"][place]
    return F.cross_entropy(logits, wanted, ignore_index=UNMATCHED)
