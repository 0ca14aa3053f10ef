"""A mask on its picture: an overlay, and a cut-out. A mask has levels from 0 to 255."""

import cv2
import numpy as np

from common.reading.image import Picture

HALF = 127
"""Levels of a mask above this one are inside: it is where the outline is drawn."""
TINT = np.array([255, 60, 30], np.uint8)
"""Red that is laid over what is inside."""


def overlay(picture: Picture, mask: Picture) -> Picture:
    """The picture in grey outside of the mask, and tinted with an outline inside."""
    plain = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tint = np.broadcast_to(TINT, picture.shape)
    found = cv2.addWeighted(picture, 0.8, tint, 0.2, 0)
    mixed = blend(found, cv2.convertScaleAbs(plain, alpha=0.6), mask)
    outlines, _ = cv2.findContours(
        (mask > HALF).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    thickness = max(1, round(max(mask.shape) / 400))
    cv2.drawContours(mixed, outlines, -1, TINT.tolist(), thickness, cv2.LINE_AA)
    return np.asarray(mixed)


def cutout(picture: Picture, mask: Picture) -> Picture:
    """RGBA (H, W, 4) whose opacity is the mask (H, W) of the picture (H, W, 3)."""
    return np.asarray(cv2.merge([*cv2.split(picture), mask]), np.uint8)


def blend(front: Picture, back: Picture, mask: Picture) -> Picture:
    """Two pictures (H, W, 3): the first one by the share that the mask (H, W) gives it."""
    share = mask.astype(np.float32)
    return np.asarray(cv2.blendLinear(front, np.ascontiguousarray(back), share, 255 - share))
