"""What stands out, as pictures: overlays, cut-outs, and what videos show of either."""

from collections.abc import Callable

import cv2
import numpy as np

from common.reading.image import Picture

HALF = 127
"""Levels of a map above this one stand out: it is where the outline is drawn."""
TINT = np.array([255, 60, 30], np.uint8)
"""Red that is laid over what stands out."""
BACKGROUND = np.array([40, 160, 60], np.uint8)
"""Green behind a video's cut-outs, which cannot be transparent."""

Draw = Callable[[Picture, Picture], Picture]
"""A picture (H, W, 3), RGB, and its map (H, W), both 0..255 -> what is shown of it."""


def overlay(picture: Picture, saliency: Picture) -> Picture:
    """The picture in grey where nothing stands out, and tinted with an outline where it does."""
    plain = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tint = np.broadcast_to(TINT, picture.shape)
    found = cv2.addWeighted(picture, 0.8, tint, 0.2, 0)
    mixed = _blend(found, cv2.convertScaleAbs(plain, alpha=0.6), saliency)
    outlines, _ = cv2.findContours(
        (saliency > HALF).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    thickness = max(1, round(max(saliency.shape) / 400))
    cv2.drawContours(mixed, outlines, -1, TINT.tolist(), thickness, cv2.LINE_AA)
    return np.asarray(mixed)


def cutout(picture: Picture, saliency: Picture) -> Picture:
    """RGBA (H, W, 4) whose opacity is the map (H, W) of the picture (H, W, 3)."""
    return np.asarray(cv2.merge([*cv2.split(picture), saliency]), np.uint8)


def on_background(picture: Picture, saliency: Picture) -> Picture:
    """What stands out of the picture, before plain green."""
    return _blend(picture, np.broadcast_to(BACKGROUND, picture.shape), saliency)


def grey(_: Picture, saliency: Picture) -> Picture:
    """The map as a picture (H, W, 3)."""
    return np.asarray(cv2.cvtColor(saliency, cv2.COLOR_GRAY2RGB), np.uint8)


def _blend(front: Picture, back: Picture, saliency: Picture) -> Picture:
    """Two pictures (H, W, 3): the first one by the share that the map (H, W) gives it."""
    share = saliency.astype(np.float32)
    return np.asarray(cv2.blendLinear(front, np.ascontiguousarray(back), share, 255 - share))
