"""Data sets in YOLO's form: a text file of labels beside each folder of pictures.

A line is a class and numbers from 0 to 1, shares of the picture's width and height: the middle,
width and height of a box; or the corners of a polygon; or a box and then x, y and, if `kpt_shape`
says 3, the visibility of each joint. A picture without a text file has no object.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.annotations import read_text
from common.reading.orientation import Orientation
from common.reading.records import Category, Listed, Records, SplitFiles, fingerprint
from common.reading.yolo_layout import DataSet, data_set, pictures_of

_ROUNDING = 1e-3
"""Shares may be this much outside 0..1, as tools round them."""


class _BadLine(ValueError):
    """What is wrong with a line, to follow the words "annotation ID (line K of FILE) "."""


def read(
    root: Path,
    split: str,
    files: SplitFiles,
    on_error: str,
    mirrored: Sequence[int] = (),
    orientation: Orientation | None = None,
) -> Records:
    """The records of a split of a root with data.yaml (or classes.txt and `images/{split}`).

    Ids count from 1: of pictures in their order, of categories in that of the names.

    Args:
        root: the data set.
        split: a key of data.yaml.
        files: another YAML file, and another folder of pictures.
        on_error: "skip" leaves out pictures that cannot be read.
        mirrored: order of the joints that are wanted after mirroring; none takes any joints.
        orientation: which pixels the labels count, --data.orientation.

    Raises:
        UserError: the layout is another one, or the joints are others.
        DamagedFile: a picture cannot be read and on_error is "stop".
    """
    found = data_set(root, split, files, mirrored)
    listed, dropped = _pictures(found, root, on_error, orientation)
    texts = {number: label_file(one.file) for number, one in listed.items()}
    present = [path for path in texts.values() if path.is_file()]
    lacking = next((path for path in texts.values() if not path.is_file()), None)
    layout = f"YOLO, {found.file.name}, {len(present):,} label files"
    if lacking is not None:
        layout += f", {len(texts) - len(present):,} pictures without one, such as {lacking}"
    annotations: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    for number, text in texts.items():
        for place, line in enumerate(_lines(text), start=1):
            if not line.strip():
                continue
            identity = len(annotations) + len(faults) + 1
            try:
                entry = _entry(line.split(), found, listed[number])
            except _BadLine as error:
                faults[identity] = f"(line {place} of {text}) {error}"
                continue
            annotations.append({"id": identity, "image_id": number, **entry})
    return Records(
        file=found.file,
        fingerprint=fingerprint(present),
        layout=layout,
        pictures=listed,
        categories=tuple(Category(number, name) for number, name in enumerate(found.names, 1)),
        annotations=annotations,
        faults=faults,
        dropped=dropped,
    )


def label_file(picture: Path) -> Path:
    """Where a picture's labels are: the last folder `images` becomes `labels`, or beside it."""
    parts = list(picture.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _lines(text: Path) -> list[str]:
    return read_text(text, "label file").splitlines() if text.is_file() else []


def _pictures(
    found: DataSet, root: Path, on_error: str, orientation: Orientation | None
) -> tuple[dict[int, Listed], dict[str, int]]:
    paths = list(
        dict.fromkeys(path for source in found.sources for path in pictures_of(source, root))
    )
    if not paths:
        raise UserError(f"{found.sources[0]}: no pictures in this folder or list")
    listed: dict[int, Listed] = {}
    damaged: list[DamagedFile] = []
    for number, path in enumerate(paths, start=1):
        try:
            listed[number] = Listed(path, *image.size(path, orientation))
        except DamagedFile as error:
            if on_error == "stop":
                raise
            damaged.append(error)
    if not listed:
        raise UserError(f"{found.file}: none of its {len(paths):,} pictures can be read")
    reason = f"pictures that cannot be read, first {damaged[0]}" if damaged else ""
    return listed, {reason: len(damaged)} if damaged else {}


def _entry(words: list[str], found: DataSet, picture: Listed) -> dict[str, Any]:
    """A line as an entry of a COCO file, but for its ids."""
    try:
        kind, *numbers = map(float, words)
    except ValueError:
        raise _BadLine(f"holds {' '.join(words)[:40]!r}; it takes numbers") from None
    if not kind.is_integer() or not 0 <= kind < len(found.names):
        last = len(found.names) - 1
        raise _BadLine(f"is of class {words[0]}; {found.file.name} names 0 to {last}")
    category = {"category_id": int(kind) + 1}
    per_joint = found.joints * found.numbers
    if len(numbers) == 4:
        return {**category, "bbox": _box(numbers, picture)}
    if per_joint and len(numbers) == 4 + per_joint:
        joints = _keypoints(numbers[4:], found.numbers, picture)
        return {**category, "bbox": _box(numbers[:4], picture), "keypoints": joints}
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        _require_shares(numbers)
        across = [share * picture.width for share in numbers[0::2]]
        down = [share * picture.height for share in numbers[1::2]]
        box = [min(across), min(down), max(across) - min(across), max(down) - min(down)]
        ring = [value for point in zip(across, down, strict=True) for value in point]
        return {**category, "bbox": box, "segmentation": [ring]}
    more = f", or 4 and {per_joint} of joints" if per_joint else ""
    raise _BadLine(
        f"has {len(numbers)} numbers after its class; it takes 4 of a box, or the corners of a "
        f"polygon{more}"
    )


def _box(numbers: Sequence[float], picture: Listed) -> list[float]:
    _require_shares(numbers)
    middle, centre, width, height = numbers
    left, top = (middle - width / 2) * picture.width, (centre - height / 2) * picture.height
    return [left, top, width * picture.width, height * picture.height]


def _keypoints(numbers: Sequence[float], each: int, picture: Listed) -> list[float]:
    """x, y in pixels and visibility of each joint; at 0, 0 without one it is not marked."""
    found: list[float] = []
    for place in range(0, len(numbers), each):
        x, y, *said = numbers[place : place + each]
        visible = said[0] if said else 2.0 * bool(x or y)
        if visible not in (0, 1, 2):
            raise _BadLine(f"has a joint with the visibility {visible}; it takes 0, 1 or 2")
        if visible:
            _require_shares((x, y))
        found += [x * picture.width, y * picture.height, visible] if visible else [0.0, 0.0, 0.0]
    return found


def _require_shares(numbers: Sequence[float]) -> None:
    for number in numbers:
        if not -_ROUNDING <= number <= 1 + _ROUNDING or math.isnan(number):
            raise _BadLine(f"holds {number:g}; it takes shares of the picture from 0 to 1")
