"""From the records that all formats in COCO's terms give to the objects of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading import coco
from common.reading.annotations import require_pictures
from common.reading.outlines import BadEntry, parse
from common.reading.records import NOT_NAMED, Category, Records, SplitFiles, require_sound
from tasks.detection.annotations import Annotations
from tasks.detection.entries import Entry, Pictures, assemble, numbers_fault


def read_coco(
    root: Path, split: str, on_error: str = "stop", files: SplitFiles = NOT_NAMED
) -> Annotations:
    """Objects of a split in COCO's form, as `common.reading.coco` finds it under a root."""
    return from_records(coco.read(root, "instances", split, files), on_error)


def from_records(records: Records, on_error: str, known: Sequence[Category] = ()) -> Annotations:
    """The objects of a split.

    Labels count the categories from 1 in order of their ids, which may have gaps. With on_error
    "skip", pictures that are missing are reported when they are read, and damaged entries are left
    out and counted.

    Args:
        records: of the split.
        on_error: "stop" or "skip".
        known: the categories where the records have none, and no object either.

    Raises:
        UserError: nothing says what the objects are, or pictures are missing.
        DamagedFile: the records contradict themselves, or an entry is damaged.
    """
    file = records.file
    categories = records.categories or (() if records.annotations else tuple(known))
    if not categories:
        raise UserError(f"{file}: has no list 'categories', which says what the objects are")
    pictures = _pictures(records)
    labels = {category.id: label for label, category in enumerate(categories, start=1)}
    rows = {number: row for row, number in enumerate(pictures.ids)}
    entries, faults = _entries(records.annotations, pictures, rows, labels, file)
    dropped = records.dropped | require_sound(records.faults | faults, file, on_error)
    if on_error == "stop":
        require_pictures(pictures.files, file)
    found = assemble(file, records.fingerprint, categories, pictures, entries, dropped)
    return replace(found, layout=records.layout)


def _pictures(records: Records) -> Pictures:
    sizes = [(one.height, one.width) for one in records.pictures.values()]
    return Pictures(
        list(records.pictures),
        [one.file for one in records.pictures.values()],
        np.array(sizes, dtype=np.int64).reshape(-1, 2),
    )


def _entries(
    annotations: list[dict[str, Any]],
    pictures: Pictures,
    rows: Mapping[int, int],
    labels: Mapping[int, int],
    file: Path,
) -> tuple[list[Entry], dict[int, str]]:
    """Sound entries, and what is wrong with the others by annotation id."""
    entries, faults = [], {}
    sizes = pictures.sizes.tolist()
    for annotation in annotations:
        number, category = annotation["id"], annotation["category_id"]
        if category not in labels:
            raise DamagedFile(
                f"{file}: annotation {number} is of category {category}, which is not in "
                f"'categories' (ids {_some(labels)})"
            )
        row = rows.get(annotation["image_id"])
        if row is None:
            faults[number] = f"is of picture {annotation['image_id']}, which is not in 'images'"
            continue
        try:
            entry = _entry(annotation, row, labels[category], *sizes[row])
        except BadEntry as error:
            faults[number] = str(error)
            continue
        fault = numbers_fault(entry)
        if fault is None:
            entries.append(entry)
        else:
            faults[number] = fault
    return entries, faults


def _entry(annotation: dict[str, Any], row: int, label: int, height: int, width: int) -> Entry:
    try:
        left, top, across, down = (float(value) for value in annotation["bbox"])
        area = annotation.get("area")
        area = None if area is None else float(area)
    except (TypeError, ValueError):
        raise BadEntry(
            f"has no 'bbox' of four numbers (left, top, width, height) or no 'area' that is one: "
            f"{annotation['bbox']!r}, {annotation.get('area')!r}"
        ) from None
    if (fault := coco.crowd_fault(annotation)) is not None:
        raise BadEntry(fault)
    return Entry(
        annotation["id"],
        row,
        label,
        (left, top, across, down),
        area,
        bool(annotation.get("iscrowd")),
        parse(annotation.get("segmentation"), height, width),
    )


def _some(labels: Mapping[int, int]) -> str:
    ids = sorted(labels)
    return ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
