"""Reading annotation files: text, JSON with its fingerprint, and checks that data sets share."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from common.errors import DamagedFile, UserError
from common.reading.encoding import decoded
from common.reading.image import Colour, Picture, read
from common.reading.orientation import Orientation, other_way

_WORD = re.compile(r'"[^"]*"(?!\S)|\S+')
NAMES_WITH_SPACES = "where names have spaces, part them by tabs, or put them within double quotes"
"""How a line of a list is written so that `words_of` reads it."""


def read_json(path: Path) -> tuple[Any, str]:
    """Content of a JSON file and the sha256 of its bytes.

    Raises:
        UserError: it cannot be read.
        DamagedFile: it is empty, cut short, not JSON, or in an encoding that JSON cannot have.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise DamagedFile(f"{path}: is empty (0 bytes); copy or unpack it again")
    try:
        content = json.loads(_json_text(data, path))
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(error.doc.rstrip()) - len("false")
        cut = at_end or error.msg.startswith("Unterminated")
        reason = "is cut short" if cut else f"is not valid JSON ({error})"
        raise DamagedFile(f"{path}: {reason}; copy or unpack it again") from None
    return content, hashlib.sha256(data).hexdigest()


def _json_text(data: bytes, path: Path) -> str:
    try:
        return decoded(data)
    except ValueError as error:
        if data.lstrip()[:1] in (b"{", b"["):
            raise DamagedFile(f"{path}: {error}") from None
        raise DamagedFile(f"{path}: is not JSON but binary data; is it an archive?") from None


def read_text(path: Path, what: str) -> str:
    """Content of a text file, without the mark with which spreadsheets and editors begin theirs.

    `what` names it in messages, such as "list of pictures".

    Raises:
        UserError: it does not exist, cannot be read, or is in an encoding that it does not tell.
    """
    try:
        return decoded(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a {what} ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as a {what}: {error}") from None


def words_of(line: str, counts: Collection[int]) -> list[str]:
    """Words of a list's line: parted by spaces, or by tabs alone where that gives a right count.

    A word within double quotes may hold spaces too.

    Args:
        line: of a list.
        counts: how many words it may have.
    """
    if "\t" in line:
        tabbed = [word.strip() for word in line.split("\t") if word.strip()]
        if len(tabbed) in counts:
            return [_unquoted(word) for word in tabbed]
    return [_unquoted(word) for word in _WORD.findall(line)] if '"' in line else line.split()


def _unquoted(word: str) -> str:
    quoted = len(word) > 1 and word[0] == word[-1] == '"'
    return word[1:-1] if quoted else word


def require_once(values: Iterable[Any], file: Path, what: str) -> None:
    """Raise DamagedFile when a value, such as an id, occurs twice in an annotation file."""
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise DamagedFile(f"{file}: {what} {twice[0]} is listed twice{more}")


def require_pictures(pictures: Sequence[Path], file: Path) -> None:
    """Raise UserError when pictures that an annotation file names are not on disk."""
    missing = missing_files(pictures)
    if missing:
        raise UserError(
            f"{file}: names {len(set(pictures)):,} pictures, {len(missing):,} of them are missing, "
            f"first {min(missing)}; complete the folder, or say --data.on_error skip"
        )


def missing_files(paths: Iterable[Path]) -> list[str]:
    """Those that are not on disk, each once.

    Folders are listed once: asking for each of 118,000 files takes minutes on a network drive.
    """
    listings: dict[str, set[str]] = {}
    missing = []
    for path in dict.fromkeys(map(os.fspath, paths)):
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            missing.append(path)
    return missing


def read_picture(
    path: Path,
    height: int,
    width: int,
    file: Path,
    colour: Colour,
    orientation: Orientation | None,
) -> Picture:
    """Picture (H, W, 3), 0..255, that must have the size that its annotation file says.

    Raises:
        DamagedFile: it cannot be read, or has another size.
    """
    picture = read(path, colour, orientation)
    found = picture.shape[:2]
    if found != (height, width):
        turned = found == (width, height)
        reason = "it was turned after it was annotated" if turned else "it was scaled or replaced"
        way = other_way([path], orientation) if turned else ""
        raise DamagedFile(
            f"{path}: has {found[1]}x{found[0]} pixels, {file} says {width}x{height}"
            + (way or f": {reason}, and its annotations do not fit")
        )
    return picture


def left_out(reasons: dict[str, int]) -> str:
    """What a summary says of the entries that are not used, by reason; "" if all are."""
    named = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    return f" (left out: {named})" if named else ""
