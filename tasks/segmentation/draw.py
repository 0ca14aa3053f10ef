"""Label maps as colours: overlays, legends, rows of picture, labels and prediction."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import lettering
from common.commands import overlay as overlays
from common.networks.losses import IGNORED
from tasks.segmentation.palette import Colours

Picture = NDArray[np.uint8]
Labels = NDArray[np.uint8]

BACKGROUND = "background"
"""A class of this name is left as it is in overlays."""

_ENTRY = (26, 190)
"""Height and width of a legend's entry in pixels."""
_NAME = 25
"""Pixels from the left of an entry to its name."""
_SCALE = 0.47
"""Of its letters."""


def overlay(picture: Picture, labels: Labels, classes: Sequence[str], colours: Colours) -> Picture:
    """The picture (H, W, 3) under the colours of its labels (H, W), with lines between them.

    Background and ignored pixels stay as they are.
    """
    covers = np.full(256, 255, np.uint8)
    covers[[IGNORED, *(index for index, name in enumerate(classes) if name == BACKGROUND)]] = 0
    painted = np.asarray(cv2.LUT(cv2.merge([labels] * 3), colours[None]), np.uint8)
    return overlays.overlay(picture, painted, np.asarray(cv2.LUT(labels, covers)), labels)


def coloured(labels: Labels, colours: Colours) -> Picture:
    """Label map (H, W) as a picture (H, W, 3); ignored pixels are white."""
    drawn = colours[labels]
    drawn[labels == IGNORED] = 255
    return np.asarray(drawn, np.uint8)


def mistakes(picture: Picture, labels: Labels, predicted: Labels) -> Picture:
    """The picture in grey with wrong pixels in red; ignored pixels are white."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    drawn = cv2.addWeighted(grey, 0.6, np.full_like(grey, 255), 0.4, 0)
    drawn[labels != predicted] = (215, 40, 40)
    drawn[labels == IGNORED] = 255
    return np.asarray(drawn, np.uint8)


def legend(classes: Sequence[str], shown: Sequence[int], colours: Colours, width: int) -> Picture:
    """A white strip (h, width, 3) with a coloured square and the name of each shown class."""
    height, across = _ENTRY
    columns = max(1, width // across)
    strip = np.full((height * math.ceil(len(shown) / columns) + 8, width, 3), 255, np.uint8)
    for place, index in enumerate(shown):
        x, y = (place % columns) * across + 8, (place // columns) * height + 6
        colour = colours[index].tolist()
        cv2.rectangle(strip, (x, y), (x + 17, y + 17), colour, -1)
        cv2.rectangle(strip, (x, y), (x + 17, y + 17), (90, 90, 90), 1)
        name = lettering.fitted(classes[index], _SCALE, across - _NAME - 8)
        lettering.write(strip, name, x + _NAME, y + 14, _SCALE, (40, 40, 40))
    return strip
