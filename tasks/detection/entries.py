"""From the entries of an annotation file to columns: what every reader ends with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from common.errors import UserError
from common.reading.outlines import Outline, as_coco, pack
from common.reading.records import Category
from tasks.detection.annotations import Annotations


class Entry(NamedTuple):
    """An object as it is annotated, its numbers not yet checked."""

    id: int
    picture: int
    """Row of its picture."""
    label: int
    box: tuple[float, float, float, float]
    """Left, top, width, height."""
    area: float | None
    """Square pixels, None if the file does not say."""
    crowd: bool
    outline: Outline | None


class Pictures(NamedTuple):
    """The P pictures that a split lists."""

    ids: list[int]
    files: list[Path]
    sizes: NDArray[np.int64]
    """(P, 2) height and width."""


def numbers_fault(entry: Entry) -> str | None:
    """What is wrong with an entry's numbers, to follow the words "annotation ID "."""
    if not all(map(math.isfinite, entry.box)):
        return f"has a box with numbers that are not finite, {list(entry.box)}"
    if entry.area is not None and not 0 <= entry.area < math.inf:
        return f"has an area of {entry.area}"
    return None


def assemble(
    file: Path,
    fingerprint: str,
    categories: Sequence[Category],
    pictures: Pictures,
    entries: Sequence[Entry],
    dropped: Mapping[str, int],
) -> Annotations:
    """The annotations of sound entries; those whose box has no area in its picture are left out.

    Official files have a few of these, so they are counted and not refused.

    Raises:
        UserError: there are entries, and no object is left.
    """
    annotated = np.array([entry.box for entry in entries], dtype=np.float64).reshape(-1, 4)
    rows = np.array([entry.picture for entry in entries], dtype=np.int64)
    boxes = clipped(corners(annotated), pictures.sizes[rows])
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (annotated[:, 2:] > 0).all(axis=1)
    if len(entries) and not inside.any():
        raise UserError(f"{file}: has no object with a box among {len(entries):,} entries")
    left_out = dict(dropped)
    if not inside.all():
        first = entries[int(np.argmin(inside))]
        reason = (
            f"with a box of no area or outside the picture, first annotation {first.id} "
            f"of {pictures.files[first.picture].name}"
        )
        left_out[reason] = int(np.count_nonzero(~inside))
    kept = np.flatnonzero(inside)
    kept = kept[np.argsort(rows[kept], kind="stable")]
    chosen = [entries[int(row)] for row in kept]
    return Annotations(
        file=file,
        fingerprint=fingerprint,
        categories=tuple(categories),
        image_ids=np.array(pictures.ids, dtype=np.int64),
        images=tuple(pictures.files),
        sizes=pictures.sizes,
        starts=np.searchsorted(rows[kept], np.arange(len(pictures.ids) + 1)),
        ids=np.array([entry.id for entry in chosen], dtype=np.int64),
        labels=np.array([entry.label for entry in chosen], dtype=np.int64),
        boxes=boxes[kept],
        annotated_boxes=annotated[kept],
        areas=np.array(
            [_area(entry, pictures.sizes[entry.picture]) for entry in chosen], dtype=np.float64
        ),
        crowd=np.array([entry.crowd for entry in chosen], dtype=bool),
        outlines=pack([entry.outline for entry in chosen]),
        dropped=left_out,
    )


def corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Left, top, right, bottom (N, 4) of left, top, width, height (N, 4)."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def clipped(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Boxes (N, 4) cut off at the edges of pictures of (N, 2) height and width."""
    limits = sizes[:, ::-1]
    return np.concatenate(
        [np.clip(boxes[:, :2], 0, limits), np.clip(boxes[:, 2:], 0, limits)], axis=1
    )


def _area(entry: Entry, size: NDArray[np.int64]) -> float:
    """The annotated area, or else that of the outline, or else that of the box."""
    if entry.area is not None:
        return float(entry.area)
    if entry.outline is None:
        return float(entry.box[2] * entry.box[3])
    written, (height, width) = as_coco(entry.outline, size), size.tolist()
    runs = coco_mask.frPyObjects(written, height, width) if isinstance(written, list) else [written]
    return float(coco_mask.area(coco_mask.merge(runs)))
