"""Maps of segments on disk: PNG whose red, green and blue are an id, R + 256 G + 65536 B."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile
from common.reading import image
from common.reading.image import Picture

LARGEST = 2**24 - 1
"""The greatest id."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with opacity", 6: "RGB with opacity"}
"""What a PNG's header says, by its number."""


def read_ids(path: Path) -> NDArray[np.int32]:
    """The id (H, W) of each pixel, 0 where there is no segment.

    Raises:
        DamagedFile: the file is missing, cut short, or no PNG of 8 bits in RGB.
    """
    encoded = image.content(path)
    if encoded.size == 0:
        raise DamagedFile(f"{path}: is empty (0 bytes)")
    header = encoded[:26].tobytes()
    if header[:8] != _SIGNATURE or len(header) < 26:
        raise DamagedFile(f"{path}: is no PNG, and ids are the exact colours of one")
    bits, kind = header[24], _KINDS.get(header[25], "unknown")
    if (bits, kind) != (8, "RGB"):
        raise DamagedFile(
            f"{path}: is a PNG of {bits} bits, {kind}; ids are R + 256 G + 65536 B of 8 bits in RGB"
        )
    colours = image.decode(encoded, path)
    # Four bytes a pixel are one number, the lowest first; the fourth is full.
    wide = cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA)
    ids = np.asarray(wide.view("<i4")[..., 0], np.int32)
    ids &= LARGEST
    return ids


def write_ids(path: Path, ids: NDArray[np.integer]) -> None:
    """Write ids (H, W) from 0 to LARGEST as a PNG.

    Raises:
        UserError: it cannot be written.
    """
    image.write(path, coloured(ids))


def coloured(ids: NDArray[np.integer]) -> Picture:
    """Ids (H, W) from 0 to LARGEST as the colours (H, W, 3) that a PNG holds."""
    wide = np.ascontiguousarray(ids.astype("<i4"))
    return np.ascontiguousarray(wide.view(np.uint8).reshape(*ids.shape, 4)[..., :3])


def read_places(
    path: Path, ids: NDArray[np.int64], size: tuple[int, int], file: Path
) -> NDArray[np.uint16]:
    """The map (H, W) of a picture: k where the k-th of these ids is, 0 where no segment is.

    Args:
        path: of the PNG.
        ids: (N,) of the segments that the annotation file lists, each once.
        size: height and width that it says.
        file: it, for messages.

    Raises:
        DamagedFile: the PNG cannot be read, has another size or ids that are not listed, or one
            that is listed has no pixel.
    """
    found = read_ids(path)
    if found.shape != size:
        raise DamagedFile(
            f"{path}: has {found.shape[1]}x{found.shape[0]} pixels, {file} says {size[1]}x{size[0]}"
        )
    flat = found.ravel()
    # Ids are even over long runs: these are looked up, not the pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    order = np.argsort(ids, kind="stable")
    known = np.concatenate([[0], ids[order]])
    spots = np.searchsorted(known, values).clip(max=len(known) - 1)
    strange = known[spots] != values
    if strange.any():
        number = int(values[np.argmax(strange)])
        pixels = int(lengths[values == number].sum())
        colour = (number & 255, number >> 8 & 255, number >> 16)
        raise DamagedFile(
            f"{path}: has {pixels:,} pixels of id {number} (colour {colour}), and {file} lists no "
            "such segment of the picture"
        )
    places = np.concatenate([[0], order + 1])[spots]
    empty = np.setdiff1d(np.arange(len(ids)) + 1, places)
    if empty.size:
        raise DamagedFile(
            f"{path}: has no pixel of segment {ids[empty[0] - 1]}, which {file} lists"
        )
    return np.repeat(places.astype(np.uint16), lengths).reshape(size)
