"""Annotations in COCO's form: the pictures, categories and entries that a file lists."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_json, require_once
from common.reading.coco_layout import annotation_file, picture_folder
from common.reading.records import NOT_NAMED, Category, Listed, Records, SplitFiles


def read(root: Path, kind: str, split: str, files: SplitFiles = NOT_NAMED) -> Records:
    """The records of a split under a root, in COCO's layout or in those of annotation tools.

    A file without `annotations` lists pictures alone, as those of test sets do.

    Args:
        root: the data set.
        kind: "instances", "person_keypoints", ...: how COCO's own file is called.
        split: the split.
        files: what the user says of its files.

    Raises:
        UserError: the layout is another one, or this is not a COCO file.
        DamagedFile: the file contradicts itself.
    """
    file, layout = annotation_file(root, kind, split, files)
    content, fingerprint = read_json(file)
    named = pictures(content, file)
    folder = picture_folder(root, split, file, [one.name for one in named.values()], files)
    listed = {
        number: Listed(folder.place(one.name), one.height, one.width)
        for number, one in named.items()
    }
    require_once((one.file for one in listed.values()), file, "picture")
    return Records(
        file=file,
        fingerprint=fingerprint,
        layout="; ".join(part for part in (layout, folder.layout) if part),
        pictures=listed,
        categories=categories(content, file),
        annotations=annotations(content, file),
        faults={},
        dropped={},
    )


class Named(NamedTuple):
    """A picture that a COCO file lists."""

    name: str
    """Its `file_name`."""
    height: int
    """In pixels."""
    width: int


def pictures(content: Any, file: Path) -> dict[int, Named]:
    """Entries of `images` by id, in the file's order.

    Raises:
        UserError: the content is not that of a COCO file.
        DamagedFile: an entry lacks or garbles its id, file_name, width or height, or two entries
            have the same id or name.
    """
    lists = isinstance(content, dict) and isinstance(content.get("images"), list)
    # Of a test set only the pictures are listed.
    if not lists or not isinstance(content.get("annotations", content["images"] or None), list):
        raise UserError(f"{file}: is not a COCO file: it has no lists 'images' and 'annotations'")
    entries = content["images"]
    require_keys(entries, ("id", "file_name", "width", "height"), "picture", file)
    require_whole(((entry["id"], "a picture", "id") for entry in entries), file)
    require_once((entry["id"] for entry in entries), file, "picture id")
    listed = {entry["id"]: _named(entry, file) for entry in entries}
    require_once((one.name for one in listed.values()), file, "picture")
    return listed


def _named(entry: dict[str, Any], file: Path) -> Named:
    number, name = entry["id"], entry["file_name"]
    if not isinstance(name, str) or not name:
        raise DamagedFile(f"{file}: picture {number} has the file_name {name!r}")
    return Named(name, *sides(entry, file))


def sides(entry: dict[str, Any], file: Path) -> tuple[int, int]:
    """Height and width of an entry of `images`.

    Raises:
        DamagedFile: one of them is no length in pixels.
    """
    for key in ("height", "width"):
        side = entry[key]
        if type(side) not in (int, float) or side != side // 1 or not 1 <= side < 2**31:
            raise DamagedFile(f"{file}: picture {entry['id']} has a {key} of {side!r}")
    return int(entry["height"]), int(entry["width"])


def annotations(content: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    """Entries of `annotations`, each with whole numbers for ids and with a bbox, still unchecked.

    Raises:
        UserError: they are segments of the panoptic form.
        DamagedFile: an entry lacks one of these, or two have the same id.
    """
    entries: list[dict[str, Any]] = content.get("annotations", [])
    if entries and isinstance(entries[0], dict) and "segments_info" in entries[0]:
        raise UserError(
            f"{file}: lists segments ('segments_info'), as panoptic files do, not objects with "
            "boxes, as instances_*.json do"
        )
    keys = ("id", "image_id", "category_id")
    require_keys(entries, (*keys, "bbox"), "annotation", file)
    for key in keys:
        require_whole(((one[key], f"annotation {one['id']}", key) for one in entries), file)
    require_once((entry["id"] for entry in entries), file, "annotation id")
    return entries


def categories(content: dict[str, Any], file: Path) -> tuple[Category, ...]:
    """Entries of `categories` in order of their ids; none if the file has no such list.

    Raises:
        DamagedFile: an entry lacks or garbles its id or name, or two have the same.
    """
    listed = content.get("categories")
    if not isinstance(listed, list):
        return ()
    require_keys(listed, ("id", "name"), "category", file)
    require_whole(((entry["id"], "a category", "id") for entry in listed), file)
    require_once((entry["id"] for entry in listed), file, "category id")
    for entry in listed:
        if not isinstance(entry["name"], str) or not entry["name"].strip():
            raise DamagedFile(
                f"{file}: category {entry['id']} has the name {entry['name']!r}; it must be a text"
            )
    require_once((entry["name"] for entry in listed), file, "category")
    return tuple(sorted(Category(entry["id"], entry["name"]) for entry in listed))


def require_keys(entries: Sequence[Any], keys: Sequence[str], what: str, file: Path) -> None:
    """Raise DamagedFile for one of a list's entries, such as "picture", that lacks a key."""
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DamagedFile(f"{file}: {what} number {place} is {entry!r}, not an object")
        missing = [key for key in keys if key not in entry]
        if missing:
            which = entry.get("id", f"number {place}")
            raise DamagedFile(f"{file}: {what} {which} has no '{missing[0]}'")


def crowd_fault(annotation: Mapping[str, Any]) -> str | None:
    """What is wrong with an annotation's 'iscrowd', such as the text "0", which counts as true."""
    found = annotation.get("iscrowd")
    if isinstance(found, str) or found not in (None, 0, 1):
        return f"has the 'iscrowd' {found!r}; it must be 0 or 1"
    return None


def require_whole(values: Iterable[tuple[Any, str, str]], file: Path) -> None:
    """Raise DamagedFile for an id that is not a whole number; each with its owner and its key."""
    for value, owner, key in values:
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise DamagedFile(
                f"{file}: {owner} has the '{key}' {value!r}; it must be a whole number"
            )
