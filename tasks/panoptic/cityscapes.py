"""Cityscapes' panoptic layout, as its scripts write it: COCO's form with names for ids.

gtFine/cityscapes_panoptic_SPLIT.json
gtFine/cityscapes_panoptic_SPLIT/CITY_SEQUENCE_FRAME_gtFine_panoptic.png
leftImg8bit/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png
"""

from pathlib import Path
from typing import Any

from common.errors import DamagedFile, UserError
from common.reading import coco
from common.reading.annotations import read_json, require_once
from common.reading.records import Listed
from tasks.panoptic.annotations import Split
from tasks.panoptic.coco import Number, assemble

_GROUND = "gtFine"
_PICTURES = "leftImg8bit"


def read_cityscapes(root: Path, split: str, on_error: str = "stop") -> Split:
    """The segments of a split: train or val.

    Raises:
        UserError: the layout is another one, or files are missing.
        DamagedFile: the annotation file contradicts itself.
    """
    name = f"cityscapes_panoptic_{split}"
    file = root / _GROUND / f"{name}.json"
    if not file.is_file():
        raise UserError(
            f"--data.root {root}: has no {_GROUND}/{name}.json; csCreatePanopticImgs of "
            "cityscapesscripts writes it; --data.train_split and --data.val_split name the split"
        )
    content, fingerprint = read_json(file)
    pictures = _pictures(content, file, root / _PICTURES / split)
    folder = file.with_suffix("")
    if not folder.is_dir():
        raise UserError(f"{file}: the folder with its PNG files is not there: {folder}")
    return assemble(file, fingerprint, content, pictures, folder, on_error)


def _pictures(content: Any, file: Path, folder: Path) -> dict[Number, Listed]:
    """The pictures by id, which is the name without its end."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UserError(f"{file}: is no panoptic annotation: it has no list 'images'")
    entries = content["images"]
    coco.require_keys(entries, ("id", "width", "height"), "picture", file)
    require_once((entry["id"] for entry in entries), file, "picture id")
    found: dict[Number, Listed] = {}
    for entry in entries:
        number = entry["id"]
        if not isinstance(number, str) or "_" not in number:
            raise DamagedFile(
                f"{file}: a picture has the id {number!r}; Cityscapes' are such as "
                "'aachen_000000_000019'"
            )
        place = folder / number.split("_")[0] / f"{number}_{_PICTURES}.png"
        found[number] = Listed(place, *coco.sides(entry, file))
    return found
