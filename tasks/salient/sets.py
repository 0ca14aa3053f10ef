"""Where the pictures and masks of a data set are: known layouts, pairs of folders, and lists."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.commands.config import at_home
from common.errors import UserError
from common.reading import pairs
from common.reading.image import pictures_in
from common.reading.pairs import Pair

LISTS = (".lst", ".txt")
MASK_SUFFIXES = (".png", ".jpg")
_ARCHIVES = (".zip", ".rar", ".gz", ".tar", ".7z")

# Names of folders as the data sets are circulated, in lower case; {name} is the set's own.
_IMAGES = ("images", "imgs", "image", "img", "{name}-image")
_MASKS = (
    "masks", "mask", "gt", "ground_truth_mask", "ground_truth", "{name}-mask",
    "pixelwisegt-new-png",
)  # fmt: skip


@dataclass(frozen=True)
class PictureSet:
    """Pictures and their masks under a name."""

    name: str
    pairs: Sequence[Pair]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.pairs)

    @property
    def files(self) -> list[Path]:
        """The pictures."""
        return [pair.image for pair in self.pairs]

    def summary(self) -> str:
        """One line: what was read."""
        return f"{self.name}: {len(self):,} pictures{pairs.naming(self.pairs)}"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the names and sizes of all files: tells a subset from the whole."""
        digest = hashlib.sha256()
        for path in (path for pair in self.pairs for path in pair):
            size = path.stat().st_size if path.is_file() else None
            digest.update(f"{path.name} {size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def find(flag: str, source: str, root: Path) -> PictureSet:
    """The set that a setting names: NAME, NAME=PICTURES:MASKS, or a list file.

    Args:
        flag: the setting, for messages.
        source: its value.
        root: the folder that holds the data sets.

    Raises:
        UserError: there is no such set, or its files do not pair.
    """
    if "=" in source:
        return _named_folders(flag, source, root)
    if source.lower().endswith(LISTS):
        return _listed(flag, at_home(Path(source)), root)
    folder = root / source
    if not folder.is_dir():
        raise UserError(f"{flag} {source}: no folder {folder}{_present(root, source)}")
    images, masks = _subfolder(folder, _IMAGES), _subfolder(folder, _MASKS)
    if images is not None and masks is not None:
        return PictureSet(folder.name, pairs.from_folders(images, masks))
    beside = images or folder
    if masks is None and any(path.suffix.lower() == ".png" for path in pictures_in(beside)):
        return PictureSet(folder.name, pairs.from_folders(beside, beside))
    raise UserError(
        f"{flag} {source}: {folder} has no folder of pictures and folder of masks that is known "
        f"(found {_names(folder)}); say {flag} {source}=PICTURES:MASKS with the two folders"
    )


def _named_folders(flag: str, source: str, root: Path) -> PictureSet:
    name, _, places = source.partition("=")
    images, _, masks = places.partition(":")
    if not (name and images and masks):
        raise UserError(f"{flag} {source}: give a name and two folders, such as mine=photos:masks")
    if Path(name).name != name:
        raise UserError(
            f"{flag} {source}: the name {name} becomes part of the results' file names; give one "
            "without slashes"
        )
    return PictureSet(name, pairs.from_folders(_placed(images, root), _placed(masks, root)))


def _placed(folder: str, root: Path) -> Path:
    """A folder as it is named, or else under the root."""
    path = at_home(Path(folder))
    return path if path.is_dir() else root / path


def _listed(flag: str, file: Path, root: Path) -> PictureSet:
    """The set of a list file.

    Names alone are of pictures in known folders beside it. Paths of pairs count from its own
    folder, from the one above, or from the root.
    """
    if not file.is_file() and (root / file).is_file():
        file = root / file
    if not file.is_file():
        raise UserError(f"{flag} {file}: no such list of pictures, also not in {root}")
    images, masks = _subfolder(file.parent, _IMAGES), _subfolder(file.parent, _MASKS)
    if images is not None and masks is not None:
        names = pairs.listed_names(file, images)
        if names is not None:
            return PictureSet(file.stem, pairs.from_folders(images, masks, names))
    base = pairs.base_of(file, (file.parent, file.parent.parent, root))
    return PictureSet(file.stem, pairs.from_list(file, base, MASK_SUFFIXES))


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """The subfolder with one of the names, whatever their case."""
    present = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
    wanted = (name.format(name=folder.name.lower()) for name in names)
    return next((present[name] for name in wanted if name in present), None)


def _present(root: Path, source: str) -> str:
    """What to say about a root that lacks a set."""
    if not root.is_dir():
        return f"; --data.root {root} is not a folder"
    archives = [path.name for path in sorted(root.glob(f"{source}*")) if path.suffix in _ARCHIVES]
    if archives:
        return f"; {archives[0]} is there but not unpacked"
    if root.name == source:
        return f"; it is the root itself: say --data.root {root.parent}"
    return f"; in {root} are {_names(root)}"


def _names(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    return (", ".join(names[:6]) + (", ..." if len(names) > 6 else "")) or "no files"
