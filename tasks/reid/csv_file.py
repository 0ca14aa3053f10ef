"""A data set as a CSV file with the columns path, person, camera and split."""

import csv
from pathlib import Path

from common.errors import UserError
from common.reading.annotations import read_text
from tasks.reid.config import DataConfig
from tasks.reid.listing import Pictures, Split, pictures, present

_COLUMNS = ("path", "person", "camera", "split")
_SPLITS = ("train", "query", "gallery")


def read_csv(file: Path, split: Split, config: DataConfig) -> Pictures:
    """The pictures of a split, in the file's order; paths count from the file's folder.

    Persons and cameras are any text. As in Market-1501, person -1 is junk, which is dropped, and
    person 0 is nobody, who only stands in the gallery.

    Raises:
        UserError: the file is missing or of another form, or pictures are missing.
    """
    rows: list[tuple[Path, str, str]] = []
    left_out = {"junk (-1)": 0, "of nobody (0)": 0}
    for path, person, camera, its_split in _rows(file):
        if its_split != split:
            continue
        if person.startswith("-") and person.lstrip("-0") == "1":
            left_out["junk (-1)"] += 1
        elif person.strip("0") == "" and split != "gallery":
            left_out["of nobody (0)"] += 1
        else:
            rows.append((file.parent / path, person, camera))
    there, missing = present(rows, file, config.on_error)
    return pictures(f"{file}, {split}", there, {**left_out, "missing": missing})


def _rows(file: Path) -> list[tuple[str, str, str, str]]:
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "no such file"
        raise UserError(f"--data.root {file}: {found}; --data.format csv takes a CSV file")
    try:
        lines = read_text(file, "CSV file").splitlines()
        table = csv.DictReader(lines, strict=True)
        header = [name.strip() for name in table.fieldnames or ()]
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise UserError(
                f"{file}: has no column {missing[0]}; its first line must name the columns "
                f"{', '.join(_COLUMNS)}, found {', '.join(header) or 'nothing'}"
            )
        table.fieldnames = header
        return [_row(file, table.line_num, row) for row in table]
    except csv.Error as error:
        raise UserError(f"{file}: cannot be read as CSV ({error})") from None


def _row(file: Path, number: int, row: dict[str, str | None]) -> tuple[str, str, str, str]:
    if None in row:
        raise UserError(
            f"{file}, line {number}: has more fields than the first line; put a name that holds a "
            "comma within quotes"
        )
    path, person, camera, split = ((row[name] or "").strip() for name in _COLUMNS)
    empty = [name for name in _COLUMNS if not (row[name] or "").strip()]
    if empty:
        raise UserError(f"{file}, line {number}: {empty[0]} is empty")
    if split not in _SPLITS:
        raise UserError(
            f"{file}, line {number}: the split is {split}; allowed are {', '.join(_SPLITS)}"
        )
    return path, person, camera, split
