"""Objects annotated in VOC's form: one XML file per picture, boxes alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from common.errors import DamagedFile, UserError
from common.reading import image, voc
from common.reading.annotations import missing_files, require_once, require_pictures
from common.reading.encoding import read_xml
from common.reading.orientation import Orientation
from common.reading.records import Category, fingerprint, require_sound
from tasks.detection.annotations import Annotations
from tasks.detection.entries import Entry, Pictures, assemble, numbers_fault

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class _Picture(NamedTuple):
    """An XML file's content."""

    file: Path
    """Of the picture."""
    size: tuple[int, int]
    """Height and width."""
    objects: list[ElementTree.Element]


def read_voc(
    root: Path, split: str, on_error: str = "stop", orientation: Orientation | None = None
) -> Annotations:
    """Objects of the pictures in `ImageSets/Main/{split}.txt` under a root such as VOC2007.

    Annotations are `Annotations/{name}.xml`, pictures lie in `JPEGImages`. Classes are VOC's
    twenty, or those of ROOT/classes.txt. Picture ids count the list's lines from 1, annotation ids
    the objects. Objects marked difficult are treated like COCO's crowds.

    Raises:
        UserError: the layout is another one, files are missing, or a class is unknown.
        DamagedFile: an XML file or an entry of it is damaged, and on_error is "stop".
    """
    file = voc.list_file(root, "Main", split, "say --data.format coco if it has another layout")
    names = voc.names(file)
    require_once(names, file, "picture")
    sources = [root / "Annotations" / f"{name}.xml" for name in names]
    missing = missing_files(sources)
    if missing:
        raise UserError(
            f"{file}: names {len(names):,} pictures, {len(missing):,} of their annotations are "
            f"missing, first {min(missing)}; complete the folder"
        )
    read, dropped = _read_all(sources, root / "JPEGImages", on_error, orientation)
    categories = _categories(root)
    entries, faults = _entries(read, categories)
    if on_error == "stop":
        require_pictures([picture.file for picture in read.values()], file)
    pictures = Pictures(
        [line for line, source in enumerate(sources, start=1) if source in read],
        [picture.file for picture in read.values()],
        np.array([picture.size for picture in read.values()], dtype=np.int64).reshape(-1, 2),
    )
    dropped |= require_sound(faults, file, on_error)
    return assemble(file, fingerprint(sources), categories, pictures, entries, dropped)


def _categories(root: Path) -> list[Category]:
    names = [name for name in voc.own_classes(root) or voc.CLASSES if name != "background"]
    require_once(names, root / voc.CLASS_FILE, "class")
    return [Category(number, name) for number, name in enumerate(names, start=1)]


def _read_all(
    sources: list[Path], folder: Path, on_error: str, orientation: Orientation | None
) -> tuple[dict[Path, _Picture], dict[str, int]]:
    """The content of the XML files that can be read, and how many cannot."""
    read: dict[Path, _Picture] = {}
    damaged: list[DamagedFile] = []
    for source in sources:
        try:
            read[source] = _read(source, folder, orientation)
        except DamagedFile as error:
            if on_error == "stop":
                raise
            damaged.append(error)
    if not read:
        raise UserError(f"none of the {len(sources)} annotations can be read; first {damaged[0]}")
    reason = f"pictures with a damaged annotation, first {damaged[0]}" if damaged else ""
    return read, {reason: len(damaged)} if damaged else {}


def _read(source: Path, folder: Path, orientation: Orientation | None) -> _Picture:
    tree = read_xml(source)
    # Sets of one's own have other kinds of pictures too.
    suffix = Path(tree.findtext("filename", "")).suffix or ".jpg"
    picture = folder / f"{source.stem}{suffix}"
    sides = [tree.findtext(f"size/{side}", "").strip() for side in ("height", "width")]
    # Tools that do not know the size write 0 or nothing; what is not a number is damage.
    if "" in sides or "0" in sides:
        return _Picture(picture, image.size(picture, orientation), tree.findall("object"))
    try:
        height, width = map(int, sides)
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise DamagedFile(
            f"{source}: says that its picture is {sides[1]} wide and {sides[0]} high; it takes two "
            "numbers of 1 or more, or none for the picture's own"
        )
    return _Picture(picture, (height, width), tree.findall("object"))


def _entries(
    read: Mapping[Path, _Picture], categories: list[Category]
) -> tuple[list[Entry], dict[int, str]]:
    """Sound entries, and what is wrong with the others by annotation id."""
    labels = {category.name: category.id for category in categories}
    entries: list[Entry] = []
    faults: dict[int, str] = {}
    for row, (source, picture) in enumerate(read.items()):
        for place, element in enumerate(picture.objects, start=1):
            number = len(entries) + len(faults) + 1
            name = element.findtext("name", "").strip()
            if name not in labels:
                raise UserError(
                    f"{source}: object {place} is of class {name!r}, which is not among "
                    f"{', '.join(labels)}; write the names of your classes into "
                    f"{voc.CLASS_FILE} under the root, one per line"
                )
            entry = _entry(element, number, row, labels[name])
            fault = "lacks a side of its box" if entry is None else numbers_fault(entry)
            if entry is None or fault is not None:
                faults[number] = f"(object {place} of {source}) {fault}"
            else:
                entries.append(entry)
    return entries, faults


def _entry(element: ElementTree.Element, number: int, row: int, label: int) -> Entry | None:
    """An object; None if its box is not four numbers."""
    try:
        left, top, right, bottom = (
            float(element.findtext(f"bndbox/{side}", "")) for side in _SIDES
        )
    except ValueError:
        return None
    # VOC's pixels count from 1 and a box has its last ones in it.
    box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
    difficult = element.findtext("difficult", "0").strip() == "1"
    return Entry(number, row, label, box, None, difficult, None)
