"""Panoptic annotations in COCO's form: a JSON file of segments, and a PNG of ids a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading import coco
from common.reading.annotations import read_json, require_once, require_pictures
from common.reading.coco_layout import annotation_file, picture_folder
from common.reading.records import NOT_NAMED, Listed, SplitFiles
from tasks.panoptic.annotations import Category, Segments, Split
from tasks.panoptic.maps import LARGEST

Number = int | str


class _Row(NamedTuple):
    """A segment."""

    id: int
    label: int
    area: int
    crowd: bool


class _Fault(ValueError):
    """What is wrong with a picture's segments, to follow the words "picture ID "."""


def read_coco(
    root: Path, split: str, on_error: str = "stop", files: SplitFiles = NOT_NAMED
) -> Split:
    """The segments of a split in COCO's panoptic layout, or of a file that is named.

    The PNG lie in `annotations/panoptic_SPLIT/`, `panoptic_SPLIT/`, or in a folder beside the
    annotation file that is called as it is.

    Raises:
        UserError: the layout is another one, or files are missing.
        DamagedFile: the annotation file contradicts itself.
    """
    file, layout = annotation_file(root, "panoptic", split, files)
    content, fingerprint = read_json(file)
    named = coco.pictures(content, file)
    folder = picture_folder(root, split, file, [one.name for one in named.values()], files)
    listed: dict[Number, Listed] = {
        number: Listed(folder.place(one.name), one.height, one.width)
        for number, one in named.items()
    }
    found = assemble(file, fingerprint, content, listed, _map_folder(root, split, file), on_error)
    return replace(found, layout="; ".join(part for part in (layout, folder.layout) if part))


def _map_folder(root: Path, split: str, file: Path) -> Path:
    name = f"panoptic_{split}"
    places = (root / "annotations" / name, root / name, file.with_suffix(""))
    for place in places:
        if place.is_dir():
            return place
    archive = root / "annotations" / f"{name}.zip"
    if archive.is_file():
        raise UserError(f"{archive}: is there but not unpacked: unzip it in {archive.parent}")
    listed = ", ".join(map(str, dict.fromkeys(places)))
    raise UserError(f"{file}: the folder with its PNG files is in none of {listed}")


def assemble(
    file: Path,
    fingerprint: str,
    content: dict[str, Any],
    pictures: Mapping[Number, Listed],
    folder: Path,
    on_error: str,
) -> Split:
    """The split of an annotation file's content.

    Args:
        file: for messages.
        fingerprint: of the file.
        content: of the file.
        pictures: that it lists, by id.
        folder: of the PNG files.
        on_error: "stop", or "skip" to leave out pictures whose segments are damaged.

    Raises:
        UserError: it has no things or no stuff, or files are missing.
        DamagedFile: it contradicts itself.
    """
    entries = content.get("annotations", [])
    _require_segments(entries, file)
    categories = _categories(content, file)
    labels = {category.id: label for label, category in enumerate(categories, start=1)}
    coco.require_keys(entries, ("image_id", "file_name", "segments_info"), "annotation", file)
    require_once((one["image_id"] for one in entries), file, "the annotation of picture")
    rows: dict[Number, list[_Row]] = {}
    maps: dict[Number, Path] = {}
    faults: dict[Number, str] = {}
    for entry in entries:
        number = entry["image_id"]
        try:
            found, place = _rows(entry, labels, number in pictures), _map_place(entry["file_name"])
        except _Fault as fault:
            faults[number] = str(fault)
            continue
        rows[number], maps[number] = found, folder / place
    require_once(maps.values(), file, "the PNG")
    dropped = _sound(faults, file, on_error)
    without = len([number for number in pictures if number not in rows and number not in faults])
    if without:
        dropped["pictures without an annotation"] = without
    used = [number for number in pictures if number in rows]
    if not used:
        raise UserError(f"{file}: has no annotated picture")
    if on_error == "stop":
        require_pictures([pictures[number].file for number in used], file)
        require_pictures([maps[number] for number in used], file)
    split = _split(file, fingerprint, categories, used, pictures, rows, dropped)
    return replace(split, maps=tuple(maps[number] for number in used), map_folder=folder)


def _split(
    file: Path,
    fingerprint: str,
    categories: Sequence[Category],
    used: Sequence[Number],
    pictures: Mapping[Number, Listed],
    rows: Mapping[Number, list[_Row]],
    dropped: dict[str, int],
) -> Split:
    """The columns of the pictures that are used, but for the places of their maps."""
    every = [row for number in used for row in rows[number]]
    return Split(
        file=file,
        fingerprint=fingerprint,
        categories=tuple(categories),
        image_ids=tuple(used),
        images=tuple(pictures[number].file for number in used),
        maps=(),
        map_folder=file.parent,
        sizes=np.array(
            [(pictures[number].height, pictures[number].width) for number in used], dtype=np.int64
        ),
        starts=np.cumsum([0, *(len(rows[number]) for number in used)]),
        segments=Segments(
            np.array([row.id for row in every], dtype=np.int64),
            np.array([row.label for row in every], dtype=np.int64),
            np.array([row.area for row in every], dtype=np.int64),
            np.array([row.crowd for row in every], dtype=bool),
        ),
        dropped=dropped,
    )


def _require_segments(entries: Sequence[Any], file: Path) -> None:
    if entries and not any("segments_info" in one for one in entries if isinstance(one, dict)):
        raise UserError(
            f"{file}: lists objects, not segments ('segments_info'): it is no panoptic file, which "
            "has one entry a picture and a PNG of ids beside it"
        )


def _categories(content: dict[str, Any], file: Path) -> list[Category]:
    """The classes, things first, each in order of their ids."""
    named = coco.categories(content, file)
    if not named:
        raise UserError(f"{file}: has no list 'categories', which says what the segments are")
    kinds = {entry["id"]: entry.get("isthing") for entry in content["categories"]}
    for number, kind in kinds.items():
        if kind not in (0, 1):
            raise DamagedFile(
                f"{file}: category {number} has the 'isthing' {kind!r}; it must be 1 for what is "
                "counted and 0 for stuff"
            )
    found = [Category(one.id, one.name, bool(kinds[one.id])) for one in named]
    for kind, word in ((True, "things (isthing 1)"), (False, "stuff (isthing 0)")):
        if not any(one.thing is kind for one in found):
            raise UserError(f"{file}: has no category of {word}; a panoptic set has both")
    return sorted(found, key=lambda one: not one.thing)


def _rows(entry: dict[str, Any], labels: Mapping[int, int], listed: bool) -> list[_Row]:
    """The segments of one picture."""
    if not listed:
        raise _Fault("is annotated, and not in 'images'")
    segments = entry["segments_info"]
    if not isinstance(segments, list):
        raise _Fault(f"has 'segments_info' of type {type(segments).__name__}, not a list")
    rows = [_row(one, labels) for one in segments]
    ids = [row.id for row in rows]
    twice = next((number for number in ids if ids.count(number) > 1), None)
    if twice is not None:
        raise _Fault(f"lists segment {twice} twice")
    return rows


def _map_place(name: Any) -> PurePosixPath:
    """The PNG in its folder, in which results are called so too; Windows writes backslashes."""
    place = PurePosixPath(name.replace("\\", "/") if isinstance(name, str) else "")
    if place.is_absolute() or ".." in place.parts or not place.name:
        raise _Fault(
            f"has the 'file_name' {name!r} for its PNG; it must be a name within the folder of "
            "the PNG files"
        )
    return place


def _row(one: Any, labels: Mapping[int, int]) -> _Row:
    if not isinstance(one, dict) or type(one.get("id")) is not int:
        raise _Fault(f"has a segment without a whole number for 'id': {one!r}"[:200])
    number = one["id"]
    if not 1 <= number <= LARGEST:
        why = "which stands for no segment" if number == 0 else f"and 1 to {LARGEST} are possible"
        raise _Fault(f"has a segment of id {number}, {why}")
    category = one.get("category_id")
    if type(category) is not int or category not in labels:
        ids = sorted(labels)
        some = ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
        raise _Fault(
            f"has segment {number} of category {category!r}, which is not in 'categories' (ids "
            f"{some})"
        )
    area = one.get("area", -1)
    if type(area) not in (int, float) or not -1 <= area < 2**31:
        raise _Fault(f"has segment {number} with an area of {area!r}")
    if (fault := coco.crowd_fault(one)) is not None:
        raise _Fault(f"has segment {number}, which {fault}")
    return _Row(number, labels[category], int(area), bool(one.get("iscrowd")))


def _sound(faults: Mapping[Number, str], file: Path, on_error: str) -> dict[str, int]:
    """Count pictures whose segments are damaged, for a summary.

    Raises:
        DamagedFile: there are some and on_error is "stop"; the message names the first.
    """
    if not faults:
        return {}
    number, fault = next(iter(faults.items()))
    if on_error == "stop":
        more = f" ({len(faults) - 1:,} more are damaged)" if len(faults) > 1 else ""
        raise DamagedFile(
            f"{file}: picture {number} {fault}{more}; correct it, or say --data.on_error skip"
        )
    return {f"pictures with damaged segments, first picture {number} which {fault}": len(faults)}
