"""Objects annotated in COCO's form, of COCO's classes or of one's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading import coco
from common.reading.annotations import read_json, require_once, require_pictures
from tasks.detection.annotations import Annotations, Category
from tasks.detection.entries import Entry, Pictures, assemble, numbers_fault, require_sound
from tasks.detection.outlines import BadEntry, parse


def read_coco(root: Path, split: str, on_error: str = "stop") -> Annotations:
    """Objects of `annotations/instances_{split}.json` under a root.

    Pictures lie in `images/{split}` or `{split}`. Labels count the file's categories from 1 in
    order of their ids, which may have gaps. With on_error "skip", pictures that are missing are
    reported when they are read, and damaged entries are left out and counted.

    Raises:
        UserError: the layout is another one, or files are missing.
        DamagedFile: the file contradicts itself, or an entry is damaged.
    """
    file = coco.annotation_file(root, "instances", split)
    folder = coco.picture_folder(root, split)
    content, fingerprint = read_json(file)
    listed = coco.pictures(content, file)
    pictures = _pictures(listed, folder)
    categories = _categories(content, file)
    annotations = coco.annotations(content, file)
    labels = {category.id: label for label, category in enumerate(categories, start=1)}
    rows = {number: row for row, number in enumerate(pictures.ids)}
    entries, faults = _entries(annotations, pictures, rows, labels, file)
    dropped = require_sound(faults, file, on_error)
    if on_error == "stop":
        require_pictures(pictures.files, file)
    return assemble(file, fingerprint, categories, pictures, entries, dropped)


def _pictures(listed: Mapping[int, coco.Listed], folder: Path) -> Pictures:
    sizes = [(one.height, one.width) for one in listed.values()]
    return Pictures(
        list(listed),
        [folder / one.file_name for one in listed.values()],
        np.array(sizes, dtype=np.int64).reshape(-1, 2),
    )


def _categories(content: dict[str, Any], file: Path) -> list[Category]:
    """The categories in order of their ids."""
    listed = content.get("categories")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{file}: has no list 'categories', which says what the objects are")
    coco.require_keys(listed, ("id", "name"), "category", file)
    coco.require_whole(((entry["id"], "a category", "id") for entry in listed), file)
    require_once((entry["id"] for entry in listed), file, "category id")
    for entry in listed:
        if not isinstance(entry["name"], str) or not entry["name"].strip():
            raise DamagedFile(
                f"{file}: category {entry['id']} has the name {entry['name']!r}; it must be a text"
            )
    require_once((entry["name"] for entry in listed), file, "category")
    return sorted(Category(entry["id"], entry["name"]) for entry in listed)


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
