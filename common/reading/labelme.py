"""Pictures annotated by LabelMe: one JSON file per picture, with shapes that have a label.

Rectangles and polygons are objects. Points whose labels are the wanted joints are those of the
object with the same group_id, or of the only object where neither has one. Other shapes, such as
lines, are left out and counted.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.annotations import read_json
from common.reading.orientation import Orientation
from common.reading.records import Category, Listed, Records, SplitFiles, fingerprint

_OBJECTS = {"rectangle": 2, "polygon": 3}
"""Shapes that are objects, and the least number of their points."""


def read(
    root: Path,
    split: str,
    files: SplitFiles,
    on_error: str,
    classes: Sequence[str] = (),
    joints: Sequence[str] = (),
    orientation: Orientation | None = None,
) -> Records:
    """The records of the JSON files in a folder: the one that is named, or ROOT/SPLIT.

    Ids count from 1: of pictures in the order of the files, of categories in that of `classes`,
    after which other labels follow in the order of the alphabet.

    Raises:
        UserError: there is no such folder, or no file in it.
        DamagedFile: a file is not LabelMe's, and on_error is "stop".
    """
    folder = _folder(root, split, files)
    sources = sorted(path for path in folder.rglob("*.json") if not path.name.startswith("."))
    if not sources:
        raise UserError(f"{folder}: has no JSON file, of which LabelMe writes one per picture")
    listed: dict[int, Listed] = {}
    shapes: list[tuple[int, Path, dict[str, Any]]] = []
    dropped: Counter[str] = Counter()
    for number, source in enumerate(sources, start=1):
        try:
            content = _content(source)
            listed[number] = _picture(content, source, folder, root, split, files, orientation)
        except DamagedFile:
            if on_error == "stop":
                raise
            dropped["pictures with a damaged annotation"] += 1
            continue
        shapes += [(number, source, shape) for shape in content["shapes"]]
    known = {one.file for one in listed.values()}
    named = {source.with_suffix("") for source in sources}  # also by files that are damaged
    beside = [
        path for place in {one.parent for one in sources} for path in image.pictures_in(place)
    ]
    alone = [path for path in beside if path not in known and path.with_suffix("") not in named]
    dropped["pictures without a JSON file"] += len(alone)
    annotations, faults = _annotations(shapes, joints, dropped)
    labels = sorted({one["label"] for one in annotations} - set(classes))
    categories = tuple(Category(number, name) for number, name in enumerate([*classes, *labels], 1))
    numbers = {category.name: category.id for category in categories}
    return Records(
        file=folder,
        fingerprint=fingerprint(sources),
        layout=f"LabelMe, {len(sources):,} JSON files in {folder.name}/",
        pictures=listed,
        categories=categories,
        annotations=[{**one, "category_id": numbers[one["label"]]} for one in annotations],
        faults=faults,
        dropped=dict(dropped),
    )


def _folder(root: Path, split: str, files: SplitFiles) -> Path:
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    found = files.annotations_in(root) or root / split
    if not found.is_dir():
        there = ", ".join(
            sorted({str(path.parent.relative_to(root)) for path in root.glob("*/*.json")})
        )
        raise UserError(
            f"{found}: no such folder of LabelMe's JSON files; folders with such are "
            f"{there or 'none'}: say --data.train_split and --data.val_split, or "
            f"--data.{files.part}_annotations FOLDER"
        )
    return found


def _content(source: Path) -> dict[str, Any]:
    content, _ = read_json(source)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(one, dict) for one in shapes):
        raise DamagedFile(f"{source}: is not LabelMe's: it has no list 'shapes'")
    return dict(content)


def _picture(
    content: dict[str, Any],
    source: Path,
    folder: Path,
    root: Path,
    split: str,
    files: SplitFiles,
    orientation: Orientation | None,
) -> Listed:
    """The picture that a file is of, by the path in it or by its name."""
    said = content.get("imagePath")
    if not isinstance(said, str) or not said:
        raise DamagedFile(f"{source}: has the imagePath {said!r}; it must name the picture")
    name = Path(said.replace("\\", "/"))
    given = files.pictures_in(root)
    places = [source.parent / name, source.parent / name.name]
    places += [place / name.name for place in (root / "images" / split, root / "images", folder)]
    places = places if given is None else [given / name.name]
    found = next((place for place in places if place.is_file()), places[0])
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if type(height) is int and type(width) is int and min(height, width) > 0:
        return Listed(found, height, width)
    return Listed(found, *image.size(found, orientation))


def _annotations(
    shapes: Sequence[tuple[int, Path, dict[str, Any]]], joints: Sequence[str], dropped: Counter[str]
) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Entries as in a COCO file, with a label for their category, and what is wrong with others."""
    entries: list[dict[str, Any]] = []
    faults: dict[int, str] = {}
    points: dict[tuple[int, Any], dict[str, Sequence[float]]] = {}
    for number, source, shape in shapes:
        kind, label = shape.get("shape_type", "polygon"), shape.get("label")
        group = (number, shape.get("group_id"))
        if kind not in _OBJECTS and not (kind == "point" and label in joints):
            dropped[f"shapes of the type {kind}"] += 1
            continue
        identity = len(entries) + len(faults) + 1
        fault = _fault(shape, _OBJECTS.get(kind, 1))
        if fault is not None:
            faults[identity] = f"(a {kind} of {source}) {fault}"
        elif kind == "point":
            points.setdefault(group, {})[str(label)] = shape["points"][0]
        else:
            entries.append({"id": identity, "image_id": number, "group": group, **_object(shape)})
    if joints:
        _give_joints(entries, points, joints, dropped)
    return entries, faults


def _fault(shape: dict[str, Any], least: int) -> str | None:
    label = shape.get("label")
    if not isinstance(label, str) or not label.strip():
        return f"has the label {label!r}; it must be a text"
    try:
        points = np.array(shape.get("points"), dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < least:
        return f"has no 'points' of {least} or more x, y"
    return None if np.isfinite(points).all() else "has points that are not finite numbers"


def _object(shape: dict[str, Any]) -> dict[str, Any]:
    points = np.array(shape["points"], dtype=np.float64)
    left_top, right_bottom = points.min(axis=0), points.max(axis=0)
    box = [*left_top.tolist(), *(right_bottom - left_top).tolist()]
    outlined = shape.get("shape_type", "polygon") == "polygon"
    outline = {"segmentation": [points.ravel().tolist()]} if outlined else {}
    return {"label": shape["label"].strip(), "bbox": box, **outline}


def _give_joints(
    entries: Sequence[dict[str, Any]],
    points: dict[tuple[int, Any], dict[str, Sequence[float]]],
    joints: Sequence[str],
    dropped: Counter[str],
) -> None:
    """Give objects the points of their group, with which no other object may share it."""
    owners = Counter(entry["group"] for entry in entries)
    for entry in entries:
        if owners[entry["group"]] == 1 and entry["group"] in points:
            mine = points.pop(entry["group"])
            found = [[*mine[name], 2] if name in mine else [0, 0, 0] for name in joints]
            entry["keypoints"] = [number for joint in found for number in joint]
    dropped["groups of joints without an object of their own"] += len(points)
