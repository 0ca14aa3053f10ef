"""What stands out, as pictures: what videos show of it."""

from collections.abc import Callable

import cv2
import numpy as np

from common.commands.masking import blend
from common.reading.image import Picture

BACKGROUND = np.array([40, 160, 60], np.uint8)
"""Green behind a video's cut-outs, which cannot be transparent."""

Draw = Callable[[Picture, Picture], Picture]
"""A picture (H, W, 3), RGB, and its map (H, W), both 0..255 -> what is shown of it."""


def on_background(picture: Picture, saliency: Picture) -> Picture:
    """What stands out of the picture, before plain green."""
    return blend(picture, np.broadcast_to(BACKGROUND, picture.shape), saliency)


def grey(_: Picture, saliency: Picture) -> Picture:
    """The map as a picture (H, W, 3)."""
    return np.asarray(cv2.cvtColor(saliency, cv2.COLOR_GRAY2RGB), np.uint8)
