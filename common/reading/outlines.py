"""Outlines of objects as COCO writes them, polygons or run lengths, and the masks that they mean.

The bitmaps are those of pycocotools, pixel for pixel. What it does not check is checked here: from
a coordinate that is not a number it crashes, and run lengths that do not fill the picture it reads
as whatever was in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Polygons = list[NDArray[np.float64]]
"""Rings (K, 2) of x and y, in pixels from the picture's corner; together they are one object."""

Outline = Polygons | bytes
"""Polygons, or COCO's compressed run lengths down the columns of the picture."""

Masks = NDArray[np.uint8]

_LARGEST = 1e6
"""Coordinates beyond are no picture's."""


_FINER = 4
"""Outlines are followed on a bitmap so many times as fine, which keeps their half pixels."""


class BadEntry(ValueError):
    """What is wrong with an annotation, to follow the words "annotation ID "."""


@dataclass(frozen=True)
class Outlines:
    """Outlines of N objects, packed into few arrays.

    COCO's 860,000 lists of lists would take ten times the memory, and every worker of a loader
    would get a copy of its own by counting its references.
    """

    points: NDArray[np.float64]
    """(K, 2) of all rings."""
    rings: NDArray[np.int64]
    """(R + 1,) where each ring begins among the points."""
    owners: NDArray[np.int64]
    """(N + 1,) where each object begins among the rings."""
    runs: dict[int, bytes]
    """Run lengths of the rows that have these instead."""

    def __len__(self) -> int:
        """Number of objects N."""
        return len(self.owners) - 1

    def __getitem__(self, row: int) -> Outline | None:
        """The outline of a row; None if it has a box alone."""
        if row in self.runs:
            return self.runs[row]
        first, end = self.owners[row], self.owners[row + 1]
        places = self.rings[first : end + 1].tolist()
        return [self.points[begin:stop] for begin, stop in pairwise(places)] or None

    def missing(self) -> NDArray[np.int64]:
        """Rows that have a box alone."""
        without = np.diff(self.owners) == 0
        without[list(self.runs)] = False
        return np.flatnonzero(without)

    def select(self, rows: NDArray[np.int64]) -> "Outlines":
        """Those of some rows, in their order."""
        return pack([self[int(row)] for row in rows])


def pack(outlines: Sequence[Outline | None]) -> Outlines:
    """The outlines of objects, None for those that have a box alone."""
    polygons = [one if isinstance(one, list) else [] for one in outlines]
    rings = [ring for one in polygons for ring in one]
    return Outlines(
        np.concatenate([np.empty((0, 2)), *rings]),
        np.cumsum([0, *map(len, rings)]),
        np.cumsum([0, *map(len, polygons)]),
        {row: one for row, one in enumerate(outlines) if isinstance(one, bytes)},
    )


def parse(segmentation: Any, height: int, width: int) -> Outline | None:
    """The outline that an annotation's `segmentation` says, of a picture of this size.

    Raises:
        BadEntry: it is not a polygon of three points or more, or not run lengths of the picture.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return [_ring(numbers) for numbers in segmentation]
    if isinstance(segmentation, dict):
        return _runs(segmentation, height, width)
    raise BadEntry(f"has a segmentation of type {type(segmentation).__name__}")


def _ring(numbers: Any) -> NDArray[np.float64]:
    try:
        ring = np.array(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadEntry("has a polygon whose coordinates are not numbers") from None
    if ring.ndim != 1:
        raise BadEntry("has a polygon that is not a list x, y, x, y, ...")
    if len(ring) < 6 or len(ring) % 2:
        points = "an odd number of coordinates" if len(ring) % 2 else f"{len(ring) // 2} points"
        raise BadEntry(f"has a polygon of {points}, and three points are the least")
    # Written so that NaN, of which every comparison is false, is caught too.
    if not (np.abs(ring) < _LARGEST).all():
        raise BadEntry("has a polygon with coordinates that are infinite or not numbers")
    return ring.reshape(-1, 2)


def _runs(segmentation: dict[str, Any], height: int, width: int) -> bytes:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise BadEntry(
            f"has run lengths of size {size} (height, width), its picture has [{height}, {width}]"
        )
    try:
        if isinstance(counts, list):
            lengths = np.array(counts, dtype=np.int64)
        else:
            counts = counts.encode("ascii") if isinstance(counts, str) else bytes(counts or b"")
            lengths = run_lengths(counts)
    except (TypeError, ValueError, OverflowError):
        raise BadEntry("has run lengths that cannot be decoded") from None
    if (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise BadEntry(
            f"has run lengths of {int(lengths.sum()):,} pixels, its picture has {height * width:,}"
        )
    if isinstance(counts, bytes):
        return counts
    packed = coco_mask.frPyObjects({"size": size, "counts": lengths.tolist()}, height, width)
    return bytes(packed["counts"])


def run_lengths(counts: bytes) -> NDArray[np.int64]:
    """Lengths of the runs, first of zeros, that COCO's compressed form encodes.

    Each byte above 48 has five bits of a number, the lowest first, and a sixth that says whether
    more follow. From the fourth number on, the last but one is to be added to it.

    Raises:
        ValueError: these are not such bytes.
    """
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    last = (codes & 0x20) == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError("not run lengths")
    begins = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
    if place.max() > 6:
        raise ValueError("a run length of more than 32 bits")
    numbers = np.add.reduceat((codes & 0x1F) << (5 * place), begins)
    negative = (codes[last] & 0x10) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * (place[last] + 1)), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def as_coco(outline: Outline, size: Sequence[int] | NDArray[np.int64]) -> Any:
    """The outline as COCO writes it; `size` is the picture's height and width."""
    if isinstance(outline, bytes):
        return {"size": [int(side) for side in size], "counts": outline}
    return [ring.ravel().tolist() for ring in outline]


def encode(polygons: Polygons, height: int, width: int) -> bytes:
    """Run lengths of an object's polygons in a picture of this size."""
    rings = coco_mask.frPyObjects([ring.ravel() for ring in polygons], height, width)
    return bytes(coco_mask.merge(rings)["counts"])


def decode(runs: Sequence[bytes | None], height: int, width: int) -> Masks:
    """Masks (N, height, width) of 0 and 1 of run lengths of that size; None is an empty mask.

    Only the columns that an object covers are written, which for whole pictures is several times as
    fast as decoding with pycocotools.
    """
    masks = np.zeros((len(runs), height, width), dtype=np.uint8)
    for mask, one in zip(masks, runs, strict=True):
        lengths = np.empty(0, np.int64) if one is None else run_lengths(one)
        if len(lengths) < 2:
            continue
        lengths = lengths[: len(lengths) // 2 * 2]  # The last run is now one of ones.
        first, last = int(lengths[0]), int(lengths.sum())
        begin, end = first // height, -(-last // height)
        lengths[0] -= begin * height
        values = np.arange(len(lengths) + 1, dtype=np.uint8) & 1
        columns = np.repeat(values, np.append(lengths, end * height - last))
        mask[:, begin:end] = cv2.transpose(columns.reshape(end - begin, height))
    return masks


def trace(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Polygons x, y, x, y, ... around the parts of a mask; none if one has a hole."""
    fine = np.kron(mask.astype(np.uint8), np.ones((_FINER, _FINER), np.uint8))
    contours, levels = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if levels is None or (levels[0, :, 3] >= 0).any():
        return []
    polygons = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, 0.4 * _FINER, True).reshape(-1, 2)
        if len(corners) >= 3:
            polygons.append(((corners + 0.5) / _FINER).ravel().tolist())
    return polygons
