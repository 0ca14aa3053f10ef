"""Ranked lists as pictures: the query, then the nearest of the gallery in coloured frames."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from common.commands import plot
from common.errors import DamagedFile
from common.reading import image
from common.reading.image import Picture
from tasks.reid.data import Reader
from tasks.reid.market import NOBODY, person_and_camera

Colour = tuple[int, int, int]
Cell = tuple[Path | Picture, Colour, str]
"""A picture, the colour of its frame, and its title."""

HIT: Colour = (40, 170, 70)
MISS: Colour = (214, 54, 48)
UNKNOWN: Colour = (150, 150, 150)
QUERY: Colour = (40, 40, 40)

CELL = (192, 96)
"""Height and width of a picture on a sheet."""

_BORDER = 5
_LONGEST = 11


def ranked(query: Path | Picture, found: Sequence[Path | Picture]) -> list[Cell]:
    """The cells of a search: the query, then what was found, framed if both names tell persons."""
    known = _person_and_camera(query)
    cells: list[Cell] = [(query, QUERY, _title(query, "query"))]
    for rank, one in enumerate(found, start=1):
        frame = UNKNOWN
        if (its := _person_and_camera(one)) is not None and known is not None:
            frame = HIT if its[0] == known[0] != NOBODY else MISS
        cells.append((one, frame, _title(one, str(rank))))
    return cells


def _person_and_camera(shown: Path | Picture) -> tuple[str, str] | None:
    return person_and_camera(shown) if isinstance(shown, Path) else None


def _title(shown: Path | Picture, otherwise: str) -> str:
    known = _person_and_camera(shown)
    return f"{known[0]} c{known[1]}" if known else otherwise


def framed(shown: Path | Picture, colour: Colour, read: Reader = image.read) -> Picture:
    """A picture in a cell with a frame of that colour; a damaged file is an empty cell, crossed."""
    height, width = CELL
    canvas = np.full((height, width, 3), 238, dtype=np.uint8)
    try:
        picture = read(shown) if isinstance(shown, Path) else shown
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


def sheet(rows: Sequence[Sequence[Cell]], read: Reader = image.read) -> Picture:
    """Rows of cells, all of one length, as one sheet (H, W, 3), RGB; files are read by `read`.

    A single row is broken where it gets too long.
    """
    cells = [cell for row in rows for cell in row]
    pictures = [framed(shown, colour, read) for shown, colour, _ in cells]
    columns = min(len(rows[0]), _LONGEST) if len(rows) == 1 else len(rows[0])
    return plot.grid(pictures, columns, [title for _, _, title in cells], cell=CELL)
