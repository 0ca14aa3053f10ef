"""Data sets in COCO's form: where their files lie, and the pictures that they list."""

from pathlib import Path
from typing import Any

from common.annotations import require_once
from common.errors import DamagedFile, UserError


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


def pictures(content: Any, file: Path) -> dict[int, dict[str, Any]]:
    """Entries of `images` by id, each with file_name, width and height, in the file's order.

    Raises:
        UserError: the content is not that of a COCO file.
        DamagedFile: an entry lacks one of these, or two have the same id or name.
    """
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise UserError(f"{file}: is not a COCO file: it has no lists 'images' and 'annotations'")
    entries = content["images"]
    for key in ("id", "file_name", "width", "height"):
        if any(key not in entry for entry in entries):
            raise DamagedFile(f"{file}: an entry of 'images' has no '{key}'")
    require_once((entry["id"] for entry in entries), file, "picture id")
    require_once((entry["file_name"] for entry in entries), file, "picture")
    return {entry["id"]: entry for entry in entries}
