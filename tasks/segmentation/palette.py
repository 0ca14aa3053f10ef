"""Class names of VOC, the colours of classes, and palette PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from common.reading import voc
from tasks.segmentation.config import Colour

Colours = NDArray[np.uint8]
"""(256, 3), red, green and blue of each label."""

VOC_CLASSES = ("background", *voc.CLASSES)


def voc_colours() -> Colours:
    """VOC's colour map: the bits of a label go to red, green and blue in turn, highest first."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for step in range(3):
        for channel in range(3):
            bits = (labels >> (3 * step + channel)) & 1
            colours[:, channel] |= (bits << (7 - step)).astype(np.uint8)
    return colours


def colours_of(palette: Sequence[Sequence[Colour]]) -> Colours:
    """The first colour that a palette has for each class, followed by those of VOC."""
    colours = voc_colours()
    if palette:
        colours[: len(palette)] = [entries[0] for entries in palette]
    return colours


def write_labels(path: Path, labels: NDArray[np.uint8], colours: Colours) -> None:
    """Write a label map (H, W) as a palette PNG: values are labels, viewers show colours."""
    picture = Image.fromarray(labels)
    picture.putpalette(colours.ravel().tolist())
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
