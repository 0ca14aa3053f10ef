"""CUHK03 (Li et al., CVPR 2014) in its new protocol (Zhong et al., CVPR 2017).

767 persons for training, 700 for the test. Reads the protocol's own files
``cuhk03_new_protocol_config_{detected,labeled}.mat`` beside the folders ``images_{detected,
labeled}`` of extracted pictures. The conversion to Market-1501's folders needs no code of its own:
``--data.format market``.
"""

from pathlib import Path

import numpy as np

from common.errors import UserError
from common.reading.matlab import read_mat
from tasks.reid.config import DataConfig
from tasks.reid.listing import Pictures, Split, elsewhere, pictures, present, require_folder

_KEYS: dict[Split, str] = {"train": "train_idx", "query": "query_idx", "gallery": "gallery_idx"}


def read_cuhk03(root: Path, split: Split, config: DataConfig) -> Pictures:
    """The pictures of a split, in the protocol's order.

    Raises:
        UserError: the protocol or the pictures are missing, or the protocol file is another.
    """
    require_folder(root)
    file = root / f"cuhk03_new_protocol_config_{config.cuhk03_boxes}.mat"
    if not file.is_file():
        raise UserError(f"--data.root {root}: has no {file.name}; {_hint(root, file.name)}")
    folder = root / f"images_{config.cuhk03_boxes}"
    if not folder.is_dir():
        raise UserError(
            f"--data.root {root}: has no folder {folder.name} with the pictures, such as "
            "1_001_1_01.png, extracted from cuhk-03.mat"
        )
    names, persons, chosen = _protocol(file, split)
    rows = []
    for index in chosen:
        parts = names[index].split("_")
        if len(parts) != 4:
            raise UserError(f"{file}: {names[index]!r} is not a name like 1_001_1_01.png")
        # The third number is the camera of the pair; persons are numbered over all five pairs.
        rows.append((folder / names[index], f"{persons[index]:04d}", parts[2]))
    there, missing = present(rows, file, config.on_error)
    return pictures(f"{file.name}, {split}", there, {"missing": missing})


def _hint(root: Path, wanted: str) -> str:
    if (root / "bounding_box_train").is_dir():
        return "these are Market-1501's folders: say --data.format market"
    for boxes in ("detected", "labeled"):
        if (root / boxes / "bounding_box_train").is_dir():
            return f"say --data.format market --data.root {root / boxes}"
    return elsewhere(root, wanted)


def _protocol(file: Path, split: Split) -> tuple[list[str], list[int], list[int]]:
    """Names and persons of all pictures, and which of them the split has, counted from 0."""
    what = "a file of CUHK03's new protocol"
    content = read_mat(file, what)
    try:
        names = [str(np.ravel(name)[0]) for name in content["filelist"].ravel()]
        persons = [int(label) for label in content["labels"].ravel()]
        chosen = [int(index) - 1 for index in content[_KEYS[split]].ravel()]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"{file}: is not {what} ({error})") from None
    if len(names) != len(persons) or not all(0 <= index < len(names) for index in chosen):
        raise UserError(f"{file}: its parts disagree: {len(names)} names, {len(persons)} labels")
    return names, persons, chosen
