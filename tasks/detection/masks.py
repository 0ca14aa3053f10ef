"""From a mask within a box to one over the whole picture, as COCO writes it."""

import math
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]
"""Height and width."""


def encode(
    masks: Tensor, boxes: Tensor, size: Size, threshold: float, *, aligned: bool = False
) -> list[dict[str, Any]]:
    """Masks as COCO's run lengths over the whole picture.

    Args:
        masks: (N, 1, M, M), probabilities within the boxes.
        boxes: (N, 4), left, top, right, bottom in pixels; of an area.
        size: of the picture.
        threshold: a pixel belongs to the object from this probability on.
        aligned: whether pixels are taken at their centres, as they were where the masks were
            learnt; otherwise at their numbers.

    Returns:
        N dicts of size and counts (text), as they stand in JSON files.
    """
    encoded = []
    for mask, box in zip(masks, boxes.tolist(), strict=True):
        whole = np.zeros(size, dtype=np.uint8, order="F")  # run lengths go down the columns
        left, right = _reach(box[0], box[2], size[1])
        top, bottom = _reach(box[1], box[3], size[0])
        part = _sample(mask, box, (left, top, right, bottom), aligned) >= threshold
        whole[top:bottom, left:right] = part.numpy()
        encoded.append(rle.encode(whole))
    return [{**one, "counts": one["counts"].decode("ascii")} for one in encoded]


def _reach(first: float, last: float, length: int) -> tuple[int, int]:
    """Pixels from and up to which a box reaches along a side of the picture."""
    return max(0, math.floor(first)), min(length, math.ceil(last) + 1)


def _sample(
    mask: Tensor, box: list[float], window: tuple[int, int, int, int], aligned: bool
) -> Tensor:
    """The mask (1, M, M) at the pixels of a window, (h, w); it fades to 0 at the box's edge.

    This undoes what training does: RoIAlign without alignment finds a pixel's value at its number,
    with alignment at its centre. torchvision's own way back rounds boxes to whole pixels: there,
    targets come back with an overlap (IoU) of 0.91 with the objects of COCO that they were made of,
    here of 0.98.
    """
    left, top, right, bottom = window
    centre = 0.5 if aligned else 0.0
    across = _places(left + centre, right - left, box[0], box[2])
    down = _places(top + centre, bottom - top, box[1], box[3])
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    return F.grid_sample(mask[None], grid[None], align_corners=False)[0, 0]


def _places(first: float, count: int, low: float, high: float) -> Tensor:
    """So many coordinates from the first on, scaled so that low is -1 and high is 1."""
    return (torch.arange(count) + (first - low)) * (2 / (high - low)) - 1
