"""Lists of pictures, depth maps and focal lengths, as BTS's of NYU and KITTI, or as CSV."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.reading.annotations import NAMES_WITH_SPACES, read_text, words_of
from common.reading.pairs import Pair

NONE = "None"
"""What a list has in the place of a depth map that does not exist."""

PLACES = ("", "sync", "official_splits/test")
"""Where the pictures of BTS's lists lie below the folder of the data set."""
DEPTH_PLACES = ("data_depth_annotated", "data_depth_annotated/train", "data_depth_annotated/val")
"""Where KITTI's depth maps lie besides."""

COLUMNS = (2, 3)
"""How many words a line may have."""

_NAMED = 3


class Item(NamedTuple):
    """A picture with its depth map."""

    pair: Pair
    focal: float | None
    """Focal length in pixels, where the list tells it."""


class Listing(NamedTuple):
    """What a list holds."""

    items: list[Item]
    without: int
    """Lines whose depth is None."""


class _Line(NamedTuple):
    number: int
    image: str
    depth: str
    focal: float | None


def find(root: Path, split: str) -> Path:
    """The list of a split: ROOT/SPLIT, ROOT/SPLIT.txt, ROOT/SPLIT.csv, or the file SPLIT itself.

    Raises:
        UserError: there is none.
    """
    names = [root / f"{split}{suffix}" for suffix in ("", ".txt", ".csv", ".lst")]
    for file in [*names, Path(split)]:
        if file.is_file():
            return file
    there = sorted(path.name for path in root.glob("*.*")) if root.is_dir() else []
    seen = ", ".join(name for name in there if name.endswith((".txt", ".csv", ".lst"))) or "none"
    raise UserError(
        f"{root}: no list {split}.txt or {split}.csv of pictures and depth maps; lists there: "
        f"{seen}; name one by --data.train_split and --data.val_split, or say --data.format folders"
    )


def read_list(file: Path, root: Path, image_folder: str, depth_folder: str) -> Listing:
    """The samples of a list; its paths count from the root, or from one of the known folders.

    Raises:
        UserError: the list is missing, empty or of another form, or its files do not exist.
    """
    images = _Folders(root, [*PLACES, image_folder, "..", str(file.parent.resolve())])
    depths = _Folders(
        root, [*PLACES, *DEPTH_PLACES, depth_folder, "..", str(file.parent.resolve())]
    )
    lines = list(_lines(file))
    if not lines:
        raise UserError(f"{file}: is empty")
    with_depth = [line for line in lines if line.depth != NONE]
    items = [
        Item(Pair(images.find(line.image), depths.find(line.depth)), line.focal)
        for line in with_depth
    ]
    missing = [path for item in items for path in item.pair if not path.is_file()]
    if missing:
        named = ", ".join(str(path) for path in missing[:_NAMED])
        more = ", ..." if len(missing) > _NAMED else ""
        raise UserError(
            f"{file}: {len(missing):,} of the files that it names do not exist ({named}{more}); "
            f"its paths count from --data.root {root}, or from --data.image_folder and "
            "--data.depth_folder in it"
        )
    if not items:
        raise UserError(f"{file}: not one of its {len(lines)} lines has a depth map")
    return Listing(items, len(lines) - len(items))


class _Folders:
    """Folders from which a list's paths may count; the one of the last find is asked first."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.folders = [root / name for name in dict.fromkeys(names)]

    def find(self, name: str) -> Path:
        """The file of that name, in the first folder that has it; else as if in the root."""
        relative = name.lstrip("/")
        for place, folder in enumerate(self.folders):
            if (folder / relative).is_file():
                self.folders.insert(0, self.folders.pop(place))
                return folder / relative
        whole = Path(name)
        return whole if whole.is_file() else self.folders[0] / relative


def _lines(file: Path) -> Iterator[_Line]:
    """The lines of a list, without a table's head and without empty ones."""
    for number, text in enumerate(read_text(file, "list of pictures").splitlines(), start=1):
        words = _words(text)
        if not words or (number == 1 and _is_head(words)):
            continue
        if len(words) not in COLUMNS:
            raise UserError(
                f"{file}, line {number}: needs a picture, its depth map and, where it is known, "
                f"the focal length in pixels; found {len(words)} words; {NAMES_WITH_SPACES}"
            )
        yield _Line(number, words[0], words[1], _focal(words, file, number))


def _is_head(words: Sequence[str]) -> bool:
    """Whether a list's first line names its columns, whatever it calls them: no file is named."""
    return len(words) in COLUMNS and not any(Path(word).suffix for word in words)


def _words(text: str) -> list[str]:
    """Words of a line, parted by commas, or else as `words_of` parts them."""
    parted = [word.strip() for word in next(csv.reader([text]), [])]
    return parted if len(parted) in COLUMNS else words_of(text, COLUMNS)


def _focal(words: Sequence[str], file: Path, number: int) -> float | None:
    if len(words) < 3 or not words[2]:
        return None
    try:
        focal = float(words[2])
    except ValueError:
        focal = math.nan
    if not 0 < focal < math.inf:
        raise UserError(
            f"{file}, line {number}: the focal length is {words[2]}; it must be a number of pixels "
            "above 0"
        )
    return focal
