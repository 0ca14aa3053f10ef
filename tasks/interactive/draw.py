"""Masks with their clicks as pictures, and their shapes in COCO's form."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from common.commands import masking
from common.reading.image import Picture
from common.reading.outlines import trace
from tasks.interactive.clicks import Click
from tasks.interactive.robot import Mask

POSITIVE, NEGATIVE = (40, 200, 70), (235, 40, 40)
"""Colours of clicks."""
_WHITE = (255, 255, 255)


def overlay(picture: Picture, mask: Mask, clicks: Sequence[Click]) -> Picture:
    """The picture (H, W, 3), grey beside the mask, with its clicks; the first one has a ring.

    Positive ones are discs, negative ones squares, for those who cannot tell their colours.
    """
    drawn = masking.overlay(picture, np.where(mask, 255, 0).astype(np.uint8))
    radius = max(2, round(min(picture.shape[:2]) / 60))
    line = max(1, radius // 4)
    for number, one in enumerate(clicks):
        place, colour = (one.x, one.y), POSITIVE if one.positive else NEGATIVE
        for reach, filling in ((radius + line, _WHITE), (radius, colour)):
            if one.positive:
                cv2.circle(drawn, place, reach, filling, -1, cv2.LINE_AA)
            else:
                upper, lower = (one.x - reach, one.y - reach), (one.x + reach, one.y + reach)
                cv2.rectangle(drawn, upper, lower, filling, -1)
        if not number:
            cv2.circle(drawn, place, 2 * radius, colour, line, cv2.LINE_AA)
    return drawn


def shape(mask: Mask) -> dict[str, Any]:
    """Area, box (left, top, width, height) and outline of a mask (H, W), as COCO has them.

    The outline are polygons, or run lengths where there is a hole, which polygons cannot have. An
    empty mask has neither: an area of 0, a box of zeros, no polygon.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return {"area": 0, "bbox": [0, 0, 0, 0], "segmentation": []}
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    polygons = trace(mask[top : top + height, left : left + width])
    moved: Any = [
        (np.reshape(one, (-1, 2)) + np.array([left, top])).ravel().round(2).tolist()
        for one in polygons
    ]
    if not polygons:
        runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        moved = {"size": list(mask.shape), "counts": runs["counts"].decode("ascii")}
    area = int(np.count_nonzero(mask))
    return {"area": area, "bbox": [left, top, width, height], "segmentation": moved}
