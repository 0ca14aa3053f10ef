"""Keypoint annotations in COCO's terms and detectors' box files, checked at the door."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading import coco
from common.reading.annotations import read_json, require_pictures
from common.reading.records import NOT_NAMED, Records, SplitFiles, require_sound
from tasks.pose.annotations import (
    Annotations,
    Boxes,
    finite_rows,
    person_category,
    persons_of,
    require_finite,
)
from tasks.pose.metrics import PERSON, annotated_area
from tasks.pose.skeleton import COCO


def read_coco(
    root: Path, split: str, on_error: str = "stop", files: SplitFiles = NOT_NAMED
) -> Annotations:
    """Persons of a split in COCO's form, as `common.reading.coco` finds it under a root."""
    return from_records(partial(coco.read, root, "person_keypoints", split, files), on_error)


def from_records(read: Callable[[], Records], on_error: str) -> Annotations:
    """The persons with labelled joints of a split.

    With on_error "skip", pictures that are missing are reported when they are read, and persons
    that are damaged or have numbers that are not finite are left out.

    Args:
        read: reads the records, now and when the split is scored.
        on_error: "stop" or "skip".

    Raises:
        UserError: there are entries and none is a person with joints, or pictures are missing.
        DamagedFile: an entry is damaged.
    """
    records = read()
    file, pictures = records.file, records.pictures
    persons, faults = persons_of(records, COCO.joints)
    damaged = require_sound(faults, file, on_error)
    _require_keypoints(records, persons)
    ids = np.array([person["id"] for person in persons], dtype=np.int64)
    image_ids = np.array([person["image_id"] for person in persons], dtype=np.int64)
    joints = _numbers(persons, "keypoints", COCO.joints * 3, f"{COCO.joints} joints * 3 =", file)
    boxes = _numbers(persons, "bbox", 4, "x, y, width, height:", file)
    areas = _areas(persons, file)
    finite = finite_rows(boxes, joints) & ~np.isinf(areas)
    require_finite(finite, ids, file, on_error)
    sizes = {number: (one.width, one.height) for number, one in pictures.items()}
    boxes, inside = _clean(boxes, np.array([sizes[number] for number in image_ids]).reshape(-1, 2))
    inside &= areas > 0
    joints = joints.reshape(-1, COCO.joints, 3)
    keep, dropped = _selection(persons, joints, finite, inside)
    if persons and not keep.any():
        raise UserError(f"{file}: has no person with joints and a box among {len(persons)} entries")
    images = {number: one.file for number, one in pictures.items()}
    if on_error == "stop":
        require_pictures([images[number] for number in image_ids[keep]], file)
    return Annotations(
        skeleton=COCO,
        file=file,
        fingerprint=records.fingerprint,
        images=images,
        sizes=sizes,
        ids=ids[keep],
        image_ids=image_ids[keep],
        boxes=boxes[keep],
        joints=joints[keep],
        head_sizes=np.empty(0),
        dropped=records.dropped | damaged | dropped,
        layout=records.layout,
        reread=read,
    )


def _require_keypoints(records: Records, persons: Sequence[dict[str, Any]]) -> None:
    """Refuse a file without persons, or of persons none of whom has joints."""
    entries = records.annotations
    if not persons and (entries or not records.pictures):
        raise UserError(
            f"{records.file}: has no persons (category_id {person_category(records)}) among "
            f"{len(entries)} entries"
        )
    if persons and not any("keypoints" in entry for entry in entries):
        raise UserError(
            f"{records.file}: annotation {persons[0]['id']} has no 'keypoints', nor has any other; "
            "the file wanted is person_keypoints_*.json, not instances_*.json"
        )


def read_boxes(
    path: Path, annotations: Annotations, threshold: float, on_error: str = "stop"
) -> Boxes:
    """Persons of a detector's file: a list of image_id, category_id, bbox (x, y, w, h), score.

    Boxes below the threshold, of no area or outside the picture are left out and counted. Boxes in
    pictures that the annotations do not have are an error: the file is another data set's. With
    on_error "skip" they are left out, unless there are no others.
    """
    content, fingerprint = read_json(path)
    persons = _detections(content, path)
    own = _own_pictures(persons[:, 0].astype(np.int64), path, annotations, on_error)
    table = persons[own]
    image_ids = table[:, 0].astype(np.int64)
    finite = finite_rows(table)
    require_finite(finite, image_ids, path, on_error)
    sizes = np.array([annotations.sizes[number] for number in image_ids]).reshape(-1, 2)
    # Unlike annotated boxes, the published code does not clip detected ones to the picture.
    _, inside = _clean(table[:, 2:], sizes)
    confident = table[:, 1] >= threshold
    keep = finite & inside & confident
    if not keep.any():
        raise UserError(f"{path}: has no box of a person with a score of {threshold} or more")
    return Boxes(
        file=path,
        fingerprint=fingerprint,
        image_ids=image_ids[keep],
        boxes=table[keep, 2:],
        scores=table[keep, 1],
        dropped={
            "of other categories": len(content) - len(persons),
            "in pictures of another data set": len(persons) - len(table),
            "with numbers that are not finite": int((~finite).sum()),
            f"with a score below {threshold}": int((finite & ~confident).sum()),
            "of no area or outside the picture": int((finite & confident & ~inside).sum()),
        },
    )


def _detections(content: Any, path: Path) -> NDArray[np.float64]:
    """Persons (N, 6) of a box file: image id, score, x, y, width, height."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        raise UserError(f"{path}: is not a box file, which is a list of image_id, bbox and score")
    try:
        persons = [entry for entry in content if entry["category_id"] == PERSON]
        rows = [(entry["image_id"], entry["score"], *entry["bbox"]) for entry in persons]
        odd = next((row for row in rows if len(row) != 6 or str in map(type, row)), None)
        if odd is not None:
            raise ValueError(f"found {odd[2:]} in picture {odd[0]!r} with the score {odd[1]!r}")
        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        if (table[:, 0] % 1).any():
            raise ValueError("an image_id is not a whole number")
        return table
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(
            f"{path}: a box lacks or garbles image_id, category_id, bbox or score ({error})"
        ) from None


def _own_pictures(
    image_ids: NDArray[np.int64], path: Path, annotations: Annotations, on_error: str
) -> NDArray[np.bool_]:
    """Which of N boxes are in pictures of the annotations."""
    own = np.isin(image_ids, list(annotations.images))
    if not own.all() and (on_error == "stop" or not own.any()):
        foreign = set(image_ids[~own].tolist())
        part = "all" if not own.any() else f"{len(foreign):,}"
        way = ", or say --data.on_error skip" if own.any() else ""
        raise UserError(
            f"{path}: is the box file of another data set: {part} of its pictures (first id "
            f"{min(foreign)}) are not in {annotations.file}; give the boxes of this split{way}"
        )
    return own


def _numbers(
    persons: list[dict[str, Any]], key: str, length: int, meaning: str, file: Path
) -> NDArray[np.float64]:
    """Numbers (N, length) of one key, NaN where the file has null."""
    for person in persons:
        found = len(person[key]) if isinstance(person[key], list) else 0
        if found != length:
            raise DamagedFile(
                f"{file}: annotation {person['id']} has {found} numbers in '{key}', expected "
                f"{meaning} {length}; is this file in COCO's format?"
            )
    try:
        table = np.array([person[key] for person in persons])
        # Texts become numbers all too easily, here and not where the file itself is scored.
        if table.dtype.kind not in "if":
            _require_numbers(persons, key, file)
        return table.astype(np.float64).reshape(-1, length)
    except (TypeError, ValueError) as error:
        raise DamagedFile(f"{file}: not all '{key}' are numbers ({error})") from None


def _require_numbers(persons: list[dict[str, Any]], key: str, file: Path) -> None:
    for person in persons:
        for value in person[key]:
            if value is not None and type(value) not in (int, float):
                raise DamagedFile(
                    f"{file}: annotation {person['id']} has {value!r} in '{key}', where a number "
                    "must be"
                )


def _areas(persons: list[dict[str, Any]], file: Path) -> NDArray[np.float64]:
    """Areas (N,) of persons whose boxes are numbers."""
    for person in persons:
        if isinstance(person.get("area"), bool | str | list | dict):
            raise DamagedFile(
                f"{file}: annotation {person['id']} has the area {person['area']!r}, not a number"
            )
    return np.array([annotated_area(person) for person in persons], dtype=np.float64)


def _selection(
    persons: list[dict[str, Any]],
    joints: NDArray[np.float64],
    finite: NDArray[np.bool_],
    inside: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which of N persons the published code trains and scores on, and why not the others."""
    single = np.array([not person.get("iscrowd") for person in persons], dtype=bool)
    labelled = single & (joints[:, :, 2] > 0).any(axis=1)
    dropped = {
        "crowds": ~single,
        "without joints": single & ~labelled,
        "with numbers that are not finite": labelled & ~finite,
        "with a box of no area or outside the picture": labelled & finite & ~inside,
    }
    counts = {reason: int(np.count_nonzero(rows)) for reason, rows in dropped.items()}
    return labelled & finite & inside, counts


def _clean(
    boxes: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes (N, 4) clipped to pictures of (N, 2) width and height, and whether anything is left."""
    last = sizes - 1
    first_corner = np.maximum(boxes[:, :2], 0)
    second_corner = np.minimum(first_corner + np.maximum(boxes[:, 2:] - 1, 0), last)
    extent = second_corner - first_corner
    # The published code keeps a box of a single pixel, which has no crop.
    inside = (boxes[:, 2:] > 0).all(axis=1) & (extent >= 0).all(axis=1) & (extent > 0).any(axis=1)
    inside &= (boxes[:, :2] + boxes[:, 2:] > 0).all(axis=1)
    return np.concatenate([first_corner, extent], axis=1), inside
