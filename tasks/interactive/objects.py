"""Where the objects of a data set are: the layouts of VOC, SBD, COCO, GrabCut and its kin."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading import coco, voc_maps
from common.reading.left_out import LeftOut
from common.reading.outlines import BadEntry, decode, encode, parse
from common.reading.pairs import Pair, from_folders
from common.reading.records import SplitFiles, require_sound
from tasks.interactive.config import DataConfig, Format, MaskKind
from tasks.interactive.masks import IGNORED, Truth, numbers, of_number, single

FOLDERS: dict[Format, tuple[str, str, MaskKind]] = {
    "grabcut": ("data_GT", "boundary_GT", "band"),
    "berkeley": ("images", "masks", "half"),
    "davis": ("img", "gt", "positive"),
}
"""Pictures, masks and what these say, in sets of one object a picture."""


class Outlined(NamedTuple):
    """An object of a picture as run lengths."""

    runs: bytes
    size: tuple[int, int]
    """Height and width of the picture."""


class Item(NamedTuple):
    """An object."""

    image: Path
    label: Path
    """What says where it is; of COCO the annotation file."""
    number: int
    """Of the object in the label map, or of its annotation; 0 where the mask is of one object."""
    area: int
    """Pixels; 0 where nobody has counted."""
    kind: MaskKind = "objects"
    outlined: Outlined | None = None
    """Of COCO; otherwise the label says it."""

    @property
    def pair(self) -> Pair:
        """The picture and its label."""
        return Pair(self.image, self.label)

    @property
    def name(self) -> str:
        """Of the object, for titles and lists."""
        return f"{self.image.stem} {self.number}" if self.number else self.image.stem


def find(root: Path, format: Format, split: str, data: DataConfig) -> list[Item]:
    """The objects of a split, picture by picture.

    Raises:
        UserError: the layout is another one, files are missing, or there is no object.
        DamagedFile: a map of objects or an annotation cannot be read.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder")
    if format == "coco":
        found = _outlined(root, split, data.files(split), data.on_error)
    elif format == "voc":
        sbd = data.sbd if split == data.train_split else None
        found = _mapped(voc_maps.read_voc(root, split, sbd, "Object"), data)
    elif format == "sbd":
        found = _mapped(voc_maps.read_sbd(root, split, "Object"), data)
    else:
        found = _in_folders(root, format, split, data)
    if not found:
        raise UserError(f"{root}: the split {split} has no object")
    return found


def _in_folders(root: Path, format: Format, split: str, data: DataConfig) -> list[Item]:
    images, masks, kind = data.image_folder, data.mask_folder, data.masks
    if format in FOLDERS:
        images, masks, kind = FOLDERS[format]
        base = root / split if (root / split / images).is_dir() else root
    else:
        base, images, masks = root, *(one.replace("{split}", split) for one in (images, masks))
    for folder in (images, masks):
        if not (base / folder).is_dir():
            there = sorted(path.name for path in base.glob("*/"))
            raise UserError(
                f"--data.format {format}: {base / folder}: no such folder; {base} has "
                f"{', '.join(there[:8]) or 'none'}"
            )
    pairs = from_folders(base / images, base / masks)
    if kind == "objects":
        return _mapped(pairs, data)
    return [Item(pair.image, pair.label, 0, 0, kind) for pair in pairs]


def _mapped(pairs: Sequence[Pair], data: DataConfig) -> list[Item]:
    """The objects of maps, each of which is opened."""
    found, left_out = [], LeftOut(data.on_error)
    for pair in pairs:
        with left_out:
            values, counts = np.unique(numbers(pair.label, None), return_counts=True)
            found += [
                Item(pair.image, pair.label, value, area)
                for value, area in zip(values.tolist(), counts.tolist(), strict=True)
                if value not in (0, IGNORED)
            ]
    left_out.report("maps of objects")
    return found


def _outlined(root: Path, split: str, files: SplitFiles, on_error: str) -> list[Item]:
    """The objects of a COCO file but for crowds and those that have a box alone."""
    records = coco.read(root, "instances", split, files)
    found, faults = [], dict(records.faults)
    for entry in records.annotations:
        listed = records.pictures.get(entry["image_id"])
        if listed is None:
            faults[entry["id"]] = f"is of picture {entry['image_id']}, which is not in 'images'"
            continue
        if entry.get("iscrowd"):
            continue
        size = listed.height, listed.width
        try:
            outline = parse(entry.get("segmentation"), *size)
        except BadEntry as error:
            faults[entry["id"]] = str(error)
            continue
        if outline is not None:
            runs = outline if isinstance(outline, bytes) else encode(outline, *size)
            area = int(decode([runs], *size).sum())
            if area:
                shape = Outlined(runs, size)
                found.append(Item(listed.file, records.file, entry["id"], area, "objects", shape))
    require_sound(faults, records.file, on_error)
    return sorted(found, key=lambda item: item.image)


def read(item: Item, data: DataConfig) -> Truth:
    """Where an object is.

    Raises:
        DamagedFile: its label cannot be read, or has no such object.
    """
    if item.outlined is not None:
        runs, size = item.outlined
        mask = decode([runs], *size)[0].astype(bool)
        truth = Truth(mask, np.zeros(size, bool))
    elif item.number:
        truth = of_number(numbers(item.label, data.orientation), item.number)
    else:
        truth = single(item.label, item.kind, data.orientation)
    if not truth.mask.any():
        raise DamagedFile(f"{item.label}: the mask is empty: it has no pixel of an object")
    return truth


def pictures(items: Sequence[Item]) -> list[Path]:
    """The pictures of objects, each once, in their order."""
    return list(dict.fromkeys(item.image for item in items))


def areas(items: Sequence[Item]) -> NDArray[np.int64]:
    """Pixels (N,) of each object."""
    return np.array([item.area for item in items], dtype=np.int64)
