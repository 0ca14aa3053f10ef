"""Folders in Market-1501's layout: three folders, and names that tell person and camera.

``0002_c1s1_000451_03.jpg`` shows person 2 before camera 1. Person -1 is junk, dropped everywhere;
person 0 is nobody who is sought: a distractor of the gallery, and never a query. CUHK03's common
folder conversion ("cuhk03-np") and many sets of one's own are named alike.
"""

import re
from pathlib import Path

from common.errors import UserError
from common.reading.image import pictures_in
from tasks.reid.config import DataConfig
from tasks.reid.listing import Pictures, Split, elsewhere, pictures, require_folder, some

FOLDERS: dict[Split, str] = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}

NOBODY = "0000"
"""The person of distractors."""

_NAME = re.compile(r"(-?\d+)_c(\d+)")
_DUKE = re.compile(r"\d+_c\d_f\d{7}")


def read_market(root: Path, split: Split, config: DataConfig) -> Pictures:
    """The pictures of one of the three folders, sorted by name.

    Raises:
        UserError: a folder is missing, holds no pictures, or pictures whose names say no person.
    """
    require_folder(root)
    _refuse_duke(root, root.resolve().parts[-2:])
    folder = root / FOLDERS[split]
    if not folder.is_dir():
        raise UserError(
            f"--data.root {root}: has no folder {folder.name}; {elsewhere(root, folder.name)}"
        )
    # Market-1501 ships a Thumbs.db in each folder.
    names = [path.name for path in pictures_in(folder)]
    _refuse_duke(root, names[:1])
    unknown = [name for name in names if not _NAME.match(name)]
    if unknown and config.on_error == "stop":
        raise UserError(
            f"{folder}: {len(unknown):,} of {len(names):,} pictures are not named like "
            f"0002_c1s1_000451_03.jpg, person 2 before camera 1 ({some(unknown)}); rename them, "
            "list them in a CSV file, or say --data.on_error skip"
        )
    left_out = {"with names of another form": len(unknown), "junk (-1)": 0, "of nobody (0000)": 0}
    rows: list[tuple[Path, str, str]] = []
    for name in names:
        if match := _NAME.match(name):
            person, camera = (int(number) for number in match.groups())
            if person < 0:
                left_out["junk (-1)"] += 1
            elif person == 0 and split != "gallery":
                left_out["of nobody (0000)"] += 1
            else:
                rows.append((folder / name, f"{person:04d}", str(camera)))
    return pictures(str(folder), rows, left_out)


def person_and_camera(path: Path) -> tuple[str, str] | None:
    """What a picture's name tells, person 0000 being nobody; None for junk and other names."""
    match = _NAME.match(path.name)
    if match is None or int(match[1]) < 0:
        return None
    return f"{int(match[1]):04d}", str(int(match[2]))


def _refuse_duke(root: Path, names: tuple[str, ...] | list[str]) -> None:
    if any("dukemtmc" in name.lower() or _DUKE.match(name) for name in names):
        raise UserError(
            f"--data.root {root}: is DukeMTMC, which its authors withdrew in 2019 over the privacy "
            "of the people filmed; it is not read here. Use Market-1501, MSMT17 or CUHK03"
        )
