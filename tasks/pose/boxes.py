"""Boxes of people's own pictures, from a file or without one."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_json
from tasks.pose.metrics import PERSON

FORMS = (
    'a list of {"file_name" or "image_id", "bbox": [x, y, width, height], "score"}, or '
    '{"picture.jpg": [[x, y, width, height], ...]}, or CSV with the columns '
    "file_name,x,y,width,height and score"
)


class Box(NamedTuple):
    """A person's place in a picture."""

    xywh: tuple[float, float, float, float]
    """Left, top, width and height in pixels of the picture as it is shown."""
    score: float


class _Entry(NamedTuple):
    name: str | int
    xywh: Any
    score: Any


def read_picture_boxes(
    file: Path, pictures: Sequence[Path], threshold: float, on_error: str = "stop"
) -> dict[Path, list[Box]]:
    """Boxes of each picture that the file has boxes for.

    Pictures are named by file name, with as much of the folder before it as tells them apart, or by
    image id, the number that a COCO picture has for a name. Boxes of other pictures and of other
    categories, and those below the threshold, are left out.

    Raises:
        UserError: the file is in none of the forms, or names not one of the pictures.
        DamagedFile: a box is not four finite numbers with an area; skipped if on_error is "skip".
    """
    boxes: dict[Path, list[Box]] = {}
    known = _by_name(pictures)
    entries = _entries(file)
    for number, entry in enumerate(entries):
        picture = _picture(entry.name, known, file)
        if picture is None:
            continue
        box = _box(entry)
        if isinstance(box, Box):
            boxes.setdefault(picture, [])
            if box.score >= threshold:
                boxes[picture].append(box)
        elif on_error == "stop":
            raise DamagedFile(
                f"{file}: box {number} (of {entry.name}) {box}; correct it, or say "
                "--data.on_error skip"
            )
    if not boxes:
        first = f", such as {entries[0].name}" if entries else ""
        raise UserError(
            f"--boxes {file}: names none of the {len(pictures)} pictures given{first}; the first "
            f"of them is {pictures[0].name}"
        )
    return boxes


def whole_picture(height: int, width: int) -> Box:
    """The whole picture as the box of one person."""
    return Box((0.0, 0.0, float(width), float(height)), 1.0)


def _entries(file: Path) -> list[_Entry]:
    if not file.is_file():
        raise UserError(f"--boxes {file}: no such file")
    if file.suffix.lower() == ".csv":
        return _csv_entries(file)
    content, _ = read_json(file)
    if isinstance(content, dict) and all(isinstance(value, list) for value in content.values()):
        return [_Entry(name, box, 1.0) for name, listed in content.items() for box in listed]
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        persons = [one for one in content if one.get("category_id", PERSON) == PERSON]
        if all(_name(one) != "" and "bbox" in one for one in persons):
            return [_Entry(_name(one), one["bbox"], one.get("score", 1.0)) for one in persons]
    raise UserError(f"--boxes {file}: is not in a known form; needed: {FORMS}")


def _name(entry: dict[str, Any]) -> str | int:
    """The picture that an entry names; "" if it names none."""
    name = entry.get("file_name")
    name = entry.get("image_id") if name is None else name
    if isinstance(name, float) and name.is_integer():
        return int(name)  # tables of numbers write 139 as 139.0
    return name if isinstance(name, str | int) else ""


def _csv_entries(file: Path) -> list[_Entry]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
            return [
                _Entry(
                    row["file_name"] or "",
                    [row["x"], row["y"], row["width"], row["height"]],
                    row.get("score") or 1.0,
                )
                for row in rows
            ]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--boxes {file}: is not in a known form ({error}); needed: {FORMS}"
        ) from None


def _box(entry: _Entry) -> Box | str:
    """The box, or what is wrong with it."""
    shown = json.dumps(entry.xywh)
    try:
        x, y, width, height = (float(value) for value in entry.xywh)
        score = float(entry.score)
    except (TypeError, ValueError):
        return f"is {shown} with score {entry.score}, not x, y, width, height and a number"
    if not all(math.isfinite(value) for value in (x, y, width, height, score)):
        return f"is {shown} with score {score}, which is not finite"
    if width <= 0 or height <= 0:
        return f"is {shown} and has no area"
    return Box((x, y, width, height), score)


def _by_name(pictures: Sequence[Path]) -> dict[str, list[Path]]:
    known: dict[str, list[Path]] = {}
    for picture in pictures:
        known.setdefault(picture.name, []).append(picture)
        if picture.stem.isdecimal():
            known.setdefault(str(int(picture.stem)), []).append(picture)
    return known


def _picture(name: str | int, known: dict[str, list[Path]], file: Path) -> Path | None:
    """The one picture that a name in the box file means."""
    if isinstance(name, int):
        found = known.get(str(name), [])
    else:
        parts = Path(name).parts
        found = [
            picture
            for picture in known.get(parts[-1] if parts else "", [])
            if picture.parts[-len(parts) :] == parts
        ]
    if len(found) > 1:
        raise UserError(
            f"--boxes {file}: {name} can mean {found[0]} and {found[1]}; name the folder in it "
            "too, or give one of them at a time"
        )
    return found[0] if found else None
