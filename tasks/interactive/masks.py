"""Masks on disk: what belongs to an object, what does not, and what is ignored."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import DamagedFile
from common.reading import tiff
from common.reading.image import content, stored
from common.reading.matlab import read_sbd_map
from common.reading.orientation import Orientation, of_file, turned
from tasks.interactive.config import MaskKind

IGNORED = 255
"""Number of pixels of no object in a map of objects: borders that nobody drew exactly."""
_HALF = 128

Mask = NDArray[np.bool_]


class Truth(NamedTuple):
    """An object of a picture."""

    mask: Mask
    """(H, W)"""
    ignored: Mask
    """(H, W) pixels that neither count nor belong to it."""


def numbers(path: Path, orientation: Orientation | None) -> NDArray[np.int64]:
    """A map (H, W) of objects: the number of each pixel's, 0 for none.

    Palette PNG are read as the indices that they hold.

    Raises:
        DamagedFile: it cannot be read, or is a colour picture.
    """
    if path.suffix == ".mat":
        found = read_sbd_map(path, "GTinst")
    else:
        encoded = tiff.unturned(content(path))
        try:
            with Image.open(io.BytesIO(encoded.tobytes())) as opened:
                found = np.asarray(opened)
        except (OSError, SyntaxError, ValueError) as error:
            raise DamagedFile(f"{path}: cannot be read as a map of objects ({error})") from None
    if found.ndim != 2 or found.dtype.kind == "f":
        raise DamagedFile(
            f"{path}: is a colour picture; a map of objects holds a number for each, as palette or "
            "grey PNG"
        )
    # In signed numbers: in bytes, what marks ignored pixels could not be told from an object.
    whole = found.astype(np.int64)
    return turned(whole, of_file(path)) if orientation == "upright" else whole


def of_number(found: NDArray[np.int64], number: int) -> Truth:
    """One object of a map."""
    return Truth(found == number, found == IGNORED)


def single(path: Path, kind: MaskKind, orientation: Orientation | None) -> Truth:
    """The object of a mask that has one: of its first channel, in levels from 0 to 255.

    A mask of 0 and 1 counts as 0 and 255.

    Raises:
        DamagedFile: it cannot be read.
    """
    levels = first_channel(path, orientation)
    if kind == "positive" or levels.max() == 1:
        return Truth(levels > 0, np.zeros(levels.shape, bool))
    ignored = levels == _HALF if kind == "band" else np.zeros(levels.shape, bool)
    return Truth((levels >= _HALF) & ~ignored, ignored)


def first_channel(path: Path, orientation: Orientation | None) -> NDArray[np.uint8]:
    """The levels (H, W), 0..255, of a mask's first channel.

    Raises:
        DamagedFile: it cannot be read, or has other levels.
    """
    levels = stored(path)
    levels = levels[..., 2] if levels.ndim == 3 else levels  # OpenCV's order is blue, green, red
    if levels.dtype != np.uint8:
        raise DamagedFile(f"{path}: a mask has 8 bits, found {levels.dtype}")
    return turned(levels, of_file(path)) if orientation == "upright" else levels
