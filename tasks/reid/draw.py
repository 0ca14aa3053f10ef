"""Ranked lists as pictures: the query, then the nearest of the gallery in coloured frames."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import plot
from common.errors import DamagedFile
from common.reading import image

Colour = tuple[int, int, int]

HIT: Colour = (40, 170, 70)
MISS: Colour = (214, 54, 48)
UNKNOWN: Colour = (150, 150, 150)
QUERY: Colour = (40, 40, 40)

CELL = (192, 96)
"""Height and width of a picture on a sheet."""

_BORDER = 5
_LONGEST = 11


def framed(path: Path, colour: Colour, upright: bool = False) -> NDArray[np.uint8]:
    """A picture in a cell with a frame of that colour; a damaged one is an empty cell, crossed."""
    height, width = CELL
    canvas = np.full((height, width, 3), 238, dtype=np.uint8)
    try:
        picture = image.read(path, rotate=upright)
    except DamagedFile:
        cv2.line(canvas, (0, 0), (width, height), UNKNOWN, 2)
        cv2.line(canvas, (0, height), (width, 0), UNKNOWN, 2)
    else:
        scale = min(height / picture.shape[0], width / picture.shape[1])
        tall = max(1, round(picture.shape[0] * scale))
        wide = max(1, round(picture.shape[1] * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        top, left = (height - tall) // 2, (width - wide) // 2
        fitted = cv2.resize(picture, (wide, tall), interpolation=method)
        canvas[top : top + tall, left : left + wide] = fitted
    inner = _BORDER // 2
    corner = (width - 1 - inner, height - 1 - inner)
    cv2.rectangle(canvas, (inner, inner), corner, colour, _BORDER)
    return canvas


def sheet(
    rows: Sequence[Sequence[tuple[Path, Colour, str]]], path: Path, upright: bool = False
) -> None:
    """Write rows of (picture, frame, title), all of one length, as one sheet.

    A single row is broken where it gets too long.
    """
    cells = [cell for row in rows for cell in row]
    pictures = [framed(file, colour, upright) for file, colour, _ in cells]
    columns = min(len(rows[0]), _LONGEST) if len(rows) == 1 else len(rows[0])
    plot.sheet(pictures, path, columns, [title for _, _, title in cells], cell=CELL)
