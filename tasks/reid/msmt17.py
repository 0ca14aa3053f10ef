"""MSMT17 (Wei et al., CVPR 2018), versions 1 and 2 (faces masked), from its list files.

A line of ``list_query.txt`` is ``0000/0000_000_01_0303morning_0008_0.jpg 0``: a file under the test
folder and its person; the third part of the name is the camera, 1 to 15. Training and test number
their persons independently, each from 0, so that equal numbers are different people.
"""

from pathlib import Path

from common.errors import UserError
from common.reading.annotations import read_text
from tasks.reid.config import DataConfig
from tasks.reid.listing import Pictures, Split, elsewhere, pictures, present, require_folder

_FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}


def read_msmt17(root: Path, split: Split, config: DataConfig) -> Pictures:
    """The pictures that the split's list files name, in their order.

    Raises:
        UserError: a list or a folder is missing, a line is of another form, or pictures are
            missing.
    """
    require_folder(root)
    half = "train" if split == "train" else "test"
    names = [f"list_{split}.txt"]
    if split == "train" and config.train_split == "trainval":
        names.append("list_val.txt")
    folder = _folder(root, half, names[0])
    rows: list[tuple[Path, str, str]] = []
    for name in names:
        rows += _rows(root / name, folder, half)
    there, missing = present(rows, root / names[0], config.on_error)
    return pictures(f"{root} {' and '.join(names)}", there, {"missing": missing})


def _folder(root: Path, half: str, wanted: str) -> Path:
    if not (root / wanted).is_file():
        raise UserError(f"--data.root {root}: has no {wanted}; {elsewhere(root, wanted)}")
    for name in _FOLDERS[half]:
        if (root / name).is_dir():
            return root / name
    raise UserError(f"--data.root {root}: has neither folder {' nor '.join(_FOLDERS[half])}")


def _rows(file: Path, folder: Path, half: str) -> list[tuple[Path, str, str]]:
    lines = read_text(file, "list of pictures").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        parts = words[0].rsplit("/", 1)[-1].split("_") if words else []
        if words and not (
            len(words) == 2 and words[1].isdigit() and len(parts) > 3 and parts[2].isdigit()
        ):
            raise UserError(
                f"{file}, line {number}: {line.strip()!r} is not a picture and its person, such "
                "as '0000/0000_000_01_0303morning_0008_0.jpg 0'"
            )
        if words:
            rows.append((folder / words[0], f"{half} {int(words[1]):04d}", str(int(parts[2]))))
    return rows
