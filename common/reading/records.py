"""A split's pictures and what is annotated in them, in COCO's terms, whatever files say it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DamagedFile, UserError


class SplitFiles(NamedTuple):
    """Where a split's annotations and pictures lie, if its user says so."""

    annotations: Path | None = None
    """A file, or a folder of files, under the root or elsewhere."""
    pictures: Path | None = None
    """A folder, under the root or elsewhere."""
    part: str = "val"
    """"train" or "val": the flags' first word."""

    def annotations_in(self, root: Path) -> Path | None:
        """The annotations that are named, None if they are not.

        Raises:
            UserError: they do not exist.
        """
        return _existing(self.annotations, root, f"--data.{self.part}_annotations", "file")

    def pictures_in(self, root: Path) -> Path | None:
        """The folder of pictures that is named, None if it is not.

        Raises:
            UserError: it does not exist.
        """
        found = _existing(self.pictures, root, f"--data.{self.part}_pictures", "folder")
        if found is not None and not found.is_dir():
            raise UserError(f"--data.{self.part}_pictures {found}: is not a folder")
        return found


NOT_NAMED = SplitFiles()
"""The user says nothing: they are looked for."""


def _existing(given: Path | None, root: Path, flag: str, kind: str) -> Path | None:
    if given is None:
        return None
    found = next((path for path in (root / given, given) if path.exists()), None)
    if found is None:
        raise UserError(f"{flag} {given}: no such {kind}, also not under --data.root {root}")
    return found


class Category(NamedTuple):
    """A class of objects."""

    id: int
    """As in the annotation file; ids may have gaps."""
    name: str


class Listed(NamedTuple):
    """A picture of a split."""

    file: Path
    height: int
    """In pixels."""
    width: int


@dataclass(frozen=True)
class Records:
    """What the readers of all formats give; entries are as in a COCO file, still unchecked."""

    file: Path
    """The annotation file, or the file or folder that stands for many; messages name it."""
    fingerprint: str
    """sha256 of the annotations."""
    layout: str
    """How the files were found, where that is not as the format's own data set has them."""
    pictures: dict[int, Listed]
    """By id, in the order of the files."""
    categories: tuple[Category, ...]
    """In order of their ids; empty where the file has none."""
    annotations: list[dict[str, Any]]
    """With a bbox and with whole numbers for id (each once), image_id and category_id."""
    faults: dict[int, str]
    """What is wrong with the entries that are not among the annotations, by id."""
    dropped: dict[str, int]
    """How many pictures or shapes are not used, by reason."""


def require_sound(faults: Mapping[int, str], file: Path, on_error: str) -> dict[str, int]:
    """Count damaged entries, by annotation id, for a summary.

    Raises:
        DamagedFile: there are some and on_error is "stop"; the message names the first.
    """
    if not faults:
        return {}
    number, fault = next(iter(faults.items()))
    if on_error == "stop":
        more = f" ({len(faults) - 1:,} more are damaged)" if len(faults) > 1 else ""
        raise DamagedFile(
            f"{file}: annotation {number} {fault}{more}; correct it, or say --data.on_error skip"
        )
    return {f"damaged, first annotation {number} which {fault}": len(faults)}


def fingerprint(sources: Iterable[Path]) -> str:
    """sha256 over the names and bytes of several files."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode(errors="surrogateescape"))
        digest.update(source.read_bytes())
    return digest.hexdigest()
