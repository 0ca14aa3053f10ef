"""Data sets in COCO's form: where their files lie, and the pictures that they list."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DamagedFile, UserError
from common.reading.annotations import require_once


def annotation_file(root: Path, kind: str, split: str) -> Path:
    """`annotations/{kind}_{split}.json` under a root; kind is "instances", "person_keypoints", ...

    Raises:
        UserError: it is not there; the message says what is instead.
    """
    name = f"annotations/{kind}_{split}.json"
    if (root / name).is_file():
        return root / name
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    raise UserError(f"--data.root {root}: has no {name}; {_hint(root, kind, name)}")


def _hint(root: Path, kind: str, name: str) -> str:
    above = [folder for folder in (root.parent, root.parent.parent) if (folder / name).is_file()]
    below = [folder for folder in sorted(root.iterdir()) if (folder / name).is_file()]
    for folder in above + below:
        return f"{folder} has it: say --data.root {folder}"
    archives = sorted({*root.glob("*annotations*.zip"), *root.glob("annotations/*.zip")})
    if archives:
        return f"{archives[0]} is there but not unpacked: unzip it in {root}"
    splits = sorted(
        path.stem.removeprefix(f"{kind}_") for path in root.glob(f"annotations/{kind}_*.json")
    )
    if splits:
        return f"its splits are {', '.join(splits)}: say --data.train_split and --data.val_split"
    found = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
    return f"the folder of a COCO data set has annotations/ and images/, this one has {found}"


def picture_folder(root: Path, split: str) -> Path:
    """`images/{split}` or `{split}` under a root, where its pictures lie."""
    for folder in (root / "images" / split, root / split):
        if folder.is_dir():
            return folder
    for archive in (root / "images" / f"{split}.zip", root / f"{split}.zip"):
        if archive.is_file():
            raise UserError(f"{archive}: is there but not unpacked: unzip it in {archive.parent}")
    raise UserError(
        f"--data.root {root}: has no folder images/{split} or {split} with the pictures"
    )


class Listed(NamedTuple):
    """A picture that a COCO file lists."""

    file_name: str
    height: int
    """In pixels."""
    width: int


def pictures(content: Any, file: Path) -> dict[int, Listed]:
    """Entries of `images` by id, in the file's order.

    Raises:
        UserError: the content is not that of a COCO file.
        DamagedFile: an entry lacks or garbles its id, file_name, width or height, or two entries
            have the same id or name.
    """
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise UserError(f"{file}: is not a COCO file: it has no lists 'images' and 'annotations'")
    entries = content["images"]
    require_keys(entries, ("id", "file_name", "width", "height"), "picture", file)
    require_whole(((entry["id"], "a picture", "id") for entry in entries), file)
    require_once((entry["id"] for entry in entries), file, "picture id")
    listed = {entry["id"]: _listed(entry, file) for entry in entries}
    require_once((one.file_name for one in listed.values()), file, "picture")
    return listed


def _listed(entry: dict[str, Any], file: Path) -> Listed:
    number, name = entry["id"], entry["file_name"]
    if not isinstance(name, str) or not name:
        raise DamagedFile(f"{file}: picture {number} has the file_name {name!r}")
    sides = []
    for key in ("height", "width"):
        side = entry[key]
        if type(side) not in (int, float) or side != side // 1 or not 1 <= side < 2**31:
            raise DamagedFile(f"{file}: picture {number} has a {key} of {side!r}")
        sides.append(int(side))
    return Listed(name, *sides)


def annotations(content: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    """Entries of `annotations`, each with whole numbers for ids and with a bbox, still unchecked.

    Raises:
        DamagedFile: an entry lacks one of these, or two have the same id.
    """
    entries: list[dict[str, Any]] = content["annotations"]
    keys = ("id", "image_id", "category_id")
    require_keys(entries, (*keys, "bbox"), "annotation", file)
    for key in keys:
        require_whole(((one[key], f"annotation {one['id']}", key) for one in entries), file)
    require_once((entry["id"] for entry in entries), file, "annotation id")
    return entries


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
