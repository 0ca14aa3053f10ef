"""Archives that strangers give: looked at before they are unpacked, and never unpacked to names."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from app.settings import MEGABYTE, LimitsConfig
from common.errors import UserError
from common.reading import image

_BLOCK = 1 << 20


class Member(NamedTuple):
    """A file of an archive, in a file of the server's own naming."""

    name: PurePosixPath
    """In the archive; results are called by it, and nothing is written to it here."""
    file: Path


class Wanted(NamedTuple):
    """What is taken of an archive."""

    name: str
    """In the plural."""
    has: Callable[[str], bool]
    """Whether a file of that name is one."""


class Archive:
    """An uploaded archive, open.

    Args:
        opened: the zip file.
        limits: of files and bytes.
        wanted: what is taken of it.

    Raises:
        UserError: it has too many files, or names one outside of itself.
    """

    def __init__(self, opened: zipfile.ZipFile, limits: LimitsConfig, wanted: Wanted) -> None:
        self._opened, self._limits, self._unpacked = opened, limits, 0
        infos = opened.infolist()
        if len(infos) > limits.archive_files:
            raise UserError(
                f"the archive has {len(infos)} files; at most {limits.archive_files} are taken"
            )
        if sum(one.file_size for one in infos) > limits.archive_megabytes * MEGABYTE:
            raise UserError(self._too_large())
        for one in infos:
            _require_inside(one)
        self.taken = [one for one in infos if not one.is_dir() and wanted.has(one.filename)]
        self.others = sum(not one.is_dir() for one in infos) - len(self.taken)
        if not self.taken:
            raise UserError(f"the archive has no {wanted.name}")

    def members(self, target: Path) -> Iterator[Member]:
        """What is taken, one after the other in one file, which each overwrites.

        Raises:
            UserError: one is damaged, encrypted, or larger than it says.
        """
        for one in self.taken:
            try:
                with self._opened.open(one) as packed, target.open("wb") as unpacked:
                    while part := packed.read(_BLOCK):
                        self._unpacked += len(part)
                        if self._unpacked > self._limits.archive_megabytes * MEGABYTE:
                            raise UserError(self._too_large())
                        unpacked.write(part)
            except (
                zipfile.BadZipFile,
                RuntimeError,
                NotImplementedError,
                OSError,
                EOFError,
            ) as error:
                raise UserError(f"{one.filename}: cannot be unpacked ({error})") from error
            yield Member(PurePosixPath(one.filename), target)

    def _too_large(self) -> str:
        most = self._limits.archive_megabytes
        return f"the archive's files take more than {most:g} MB when they are unpacked"


@contextmanager
def opened(path: Path, limits: LimitsConfig, wanted: Wanted) -> Iterator[Archive]:
    """Open an archive and look at its list.

    Raises:
        UserError: it is none, or not one that is taken.
    """
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UserError("this is not a zip archive, or it is damaged") from error
    with file:
        yield Archive(file, limits, wanted)


def _require_inside(one: zipfile.ZipInfo) -> None:
    """Refuse names that lead out of an archive, and links."""
    name = one.orig_filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    outside = name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\0" in name
    link = stat.S_ISLNK(one.external_attr >> 16)
    if outside or link:
        kind = "is a link" if link else "leads out of the archive"
        raise UserError(f"{name}: {kind}; such archives are not taken")


def _is_own(name: str) -> bool:
    """Whether a file was put there by a person, and not by macOS beside each."""
    return not name.startswith("__MACOSX/") and not PurePosixPath(name).name.startswith(".")


PICTURES = Wanted(
    "pictures", lambda name: _is_own(name) and image.is_picture(PurePosixPath(name).name)
)
EVERY = Wanted("files", _is_own)
