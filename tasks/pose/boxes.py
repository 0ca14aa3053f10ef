"""Boxes of people's own pictures and videos, from a file or without one."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading import video
from common.reading.annotations import read_json, read_text
from tasks.pose.metrics import PERSON

FORMS = (
    'a list of {"file_name" or "image_id", "bbox": [x, y, width, height], "score"}, or '
    '{"picture.jpg": [[x, y, width, height], ...]}, or CSV with the columns '
    'file_name,x,y,width,height and score; of a video each with its "frame", from 0 on'
)

Row = Sequence[float] | NDArray[Any]
"""x, y, width and height."""


class Box(NamedTuple):
    """A person's place in a picture."""

    xywh: tuple[float, float, float, float]
    """Left, top, width and height in pixels of the picture as it is shown."""
    score: float


class Place(NamedTuple):
    """What boxes belong to."""

    path: Path
    """A picture or a video."""
    frame: int | None = None
    """Number of a video's frame, from 0 on; None for a picture."""


class _Entry(NamedTuple):
    name: str | int
    xywh: Any
    score: Any
    frame: Any = None


def read_picture_boxes(
    file: Path, paths: Sequence[Path], threshold: float, on_error: str = "stop"
) -> dict[Place, list[Box]]:
    """Boxes of each picture, and of each frame of a video, that the file has boxes for.

    Pictures and videos are named by file name, with as much of the folder before it as tells them
    apart, or by image id, the number that a COCO picture has for a name. Boxes of other files and
    of other categories, and those below the threshold, are left out.

    Raises:
        UserError: the file is in none of the forms, or names not one of the paths.
        DamagedFile: a box is not four finite numbers with an area, or is in a video but in no frame
            of it; skipped if on_error is "skip".
    """
    boxes: dict[Place, list[Box]] = {}
    known = _by_name(paths)
    entries = _entries(file)
    for number, entry in enumerate(entries):
        path = _path(entry.name, known, file)
        if path is None:
            continue
        try:
            place, box = _place(path, entry), _box(entry)
        except ValueError as error:
            if on_error == "skip":
                continue
            raise DamagedFile(
                f"{file}: box {number} (of {entry.name}) {error}; correct it, or say "
                "--data.on_error skip"
            ) from None
        boxes.setdefault(place, [])
        if box.score >= threshold:
            boxes[place].append(box)
    if not boxes:
        first = f", such as {entries[0].name}" if entries else ""
        raise UserError(
            f"--boxes {file}: names none of the {len(paths)} inputs given{first}; the first of "
            f"them is {paths[0].name}"
        )
    return boxes


def as_box(given: Box | Row) -> Box:
    """A box itself, or that of a row x, y, width, height, with score 1.

    Raises:
        ValueError: the row is not four finite numbers with an area.
    """
    if isinstance(given, Box):
        return given
    try:
        return _box(_Entry("", np.asarray(given, dtype=float).tolist(), 1.0))
    except ValueError as error:
        raise ValueError(f"a box {error}") from None


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
        persons = _persons(content)
        if all(_name(one) != "" and "bbox" in one for one in persons):
            return [
                _Entry(_name(one), one["bbox"], one.get("score", 1.0), one.get("frame"))
                for one in persons
            ]
    raise UserError(f"--boxes {file}: is not in a known form; needed: {FORMS}")


def _persons(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the class person where entries name several classes, else those of its number."""
    if len({str(one["class"]) for one in entries if "class" in one}) > 1:
        return [one for one in entries if one.get("class") == "person"]
    return [one for one in entries if one.get("category_id", PERSON) == PERSON]


def _name(entry: dict[str, Any]) -> str | int:
    """The picture that an entry names; "" if it names none."""
    name = entry.get("file_name")
    name = entry.get("image_id") if name is None else name
    if isinstance(name, float) and name.is_integer():
        return int(name)  # tables of numbers write 139 as 139.0
    return name if isinstance(name, str | int) else ""


def _csv_entries(file: Path) -> list[_Entry]:
    try:
        return [
            _Entry(
                row["file_name"] or "",
                [row["x"], row["y"], row["width"], row["height"]],
                row.get("score") or 1.0,
                row.get("frame"),
            )
            for row in csv.DictReader(io.StringIO(read_text(file, "box file")))
        ]
    except (KeyError, csv.Error) as error:
        raise UserError(
            f"--boxes {file}: is not in a known form ({error}); needed: {FORMS}"
        ) from None


def _place(path: Path, entry: _Entry) -> Place:
    """Where a box belongs; ValueError says what is wrong with that."""
    if not video.is_video(path):
        return Place(path)
    try:
        frame = float(entry.frame)
    except (TypeError, ValueError):
        frame = -1.0
    if frame < 0 or not frame.is_integer():
        raise ValueError(f"has the frame {entry.frame}; needed is its number, from 0 on")
    return Place(path, int(frame))


def _box(entry: _Entry) -> Box:
    """The box; ValueError says what is wrong with it."""
    shown = json.dumps(entry.xywh)
    try:
        x, y, width, height = (float(value) for value in entry.xywh)
        score = float(entry.score)
    except (TypeError, ValueError):
        raise ValueError(
            f"is {shown} with score {entry.score}, not x, y, width, height and a number"
        ) from None
    if not all(math.isfinite(value) for value in (x, y, width, height, score)):
        raise ValueError(f"is {shown} with score {score}, which is not finite")
    if width <= 0 or height <= 0:
        raise ValueError(f"is {shown} and has no area")
    return Box((x, y, width, height), score)


def _by_name(paths: Sequence[Path]) -> dict[str, list[Path]]:
    known: dict[str, list[Path]] = {}
    for path in paths:
        known.setdefault(path.name, []).append(path)
        if path.stem.isdecimal():
            known.setdefault(str(int(path.stem)), []).append(path)
    return known


def _path(name: str | int, known: dict[str, list[Path]], file: Path) -> Path | None:
    """The one picture or video that a name in the box file means."""
    if isinstance(name, int):
        found = known.get(str(name), [])
    else:
        parts = Path(name).parts
        found = [
            path
            for path in known.get(parts[-1] if parts else "", [])
            if path.parts[-len(parts) :] == parts
        ]
    if len(found) > 1:
        raise UserError(
            f"--boxes {file}: {name} can mean {found[0]} and {found[1]}; name the folder in it "
            "too, or give one of them at a time"
        )
    return found[0] if found else None
