"""Tar shards in WebDataset's layout, with random access (`tasks.classification.pack` writes them).

A million small files are slow to list, copy and open on many file systems; a few hundred archives
are not. A shard holds members of equal stem and different suffix side by side: `00012.jpg` is a
picture, `00012.cls` its class as a number. WebDataset reads such archives from front to end, and
shuffles what is in memory. Here every sample is addressed by itself, because a run's order is a
function of its seed (common.training.sampling): the archives' headers are read once into an index
of (shard, offset, size), kept in the cache folder, and a picture is one `pread`.
"""

import hashlib
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backbone.download import cache
from common.errors import DamagedFile, UserError
from common.reading.image import SUFFIXES
from tasks.classification import labels
from tasks.classification.labels import Classes
from tasks.classification.pictures import Pictures

LABEL = ".cls"
_MOST_CLASSES = 10**6


class Index(NamedTuple):
    """Where the samples of one shard lie, one row each."""

    keys: NDArray[np.bytes_]
    """Names of the pictures within the shard."""
    offsets: NDArray[np.int64]
    """First bytes of the pictures, from the beginning of the shard."""
    sizes: NDArray[np.int64]
    """Bytes of the pictures."""
    labels: NDArray[np.int64]
    """Numbers of the classes."""


class Shards:
    """Pictures within archives.

    Args:
        shards: the archives.
        indices: of each.
    """

    def __init__(self, shards: Sequence[Path], indices: Sequence[Index]) -> None:
        self.shards = list(shards)
        self.shard = np.repeat(np.arange(len(shards)), [len(index.keys) for index in indices])
        self.keys = np.concatenate([index.keys for index in indices])
        self.offsets = np.concatenate([index.offsets for index in indices])
        self.sizes = np.concatenate([index.sizes for index in indices])

    def read(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a picture."""
        # Opened anew for each picture: a thousand shards in sixteen workers would be too many open
        # files, and opening costs little beside decoding.
        size = int(self.sizes[index])
        try:
            descriptor = os.open(self.shards[self.shard[index]], os.O_RDONLY)
            try:
                found = os.pread(descriptor, size, int(self.offsets[index]))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DamagedFile(f"{self.name(index)}: cannot be read ({error.strerror})") from None
        if len(found) < size:
            raise DamagedFile(f"{self.name(index)}: the shard is cut short; copy it again")
        return np.frombuffer(found, dtype=np.uint8)

    def name(self, index: int) -> str:
        """The shard and the picture in it."""
        return f"{self.shards[self.shard[index]]}, {os.fsdecode(self.keys[index])}"

    def key(self, index: int) -> str:
        """The picture's name within its shard, behind the shard's."""
        return f"{self.shards[self.shard[index]].name}/{os.fsdecode(self.keys[index])}"

    def files(self) -> list[str]:
        """None: the pictures lie in archives."""
        return []


def read(root: Path, split: str, classes: Classes | None) -> Pictures:
    """Pictures of the shards ROOT/SPLIT/*.tar, or ROOT/*SPLIT*.tar.

    Args:
        root: of the data set.
        split: a folder in it, or a part of the shards' names.
        classes: what the numbers mean; none takes them as they are, from 0 to the largest.

    Raises:
        UserError: no shard is there, one is damaged or of another layout, or a class has no number.
    """
    shards = _find(root, split)
    store_parts = [index(shard) for shard in shards]
    store = Shards(shards, store_parts)
    numbers = np.concatenate([part.labels for part in store_parts])
    largest = int(numbers.max())
    if classes is None:
        classes = labels.numbered(largest + 1)
    if largest >= len(classes):
        first = int(np.argmax(numbers >= len(classes)))
        raise UserError(
            f"{store.name(first)}: is of class {numbers[first]}, but the list of classes has only "
            f"{len(classes)}, from 0 to {len(classes) - 1}"
        )
    return Pictures(split, classes, numbers, store)


def _find(root: Path, split: str) -> list[Path]:
    if not root.is_dir():
        raise UserError(f"--data.root {root}: there is no such folder")
    inside = root / split
    found = sorted(inside.glob("*.tar")) if inside.is_dir() else sorted(root.glob(f"*{split}*.tar"))
    if not found:
        packed = sorted(root.glob(f"{split}/*.tar.gz")) or sorted(root.glob(f"*{split}*.tgz"))
        advice = (
            "unzip them (gunzip): only plain archives have random access"
            if packed
            else (
                f"needed are {split}/*.tar or *{split}*.tar; folders of pictures are --data.format "
                "folder"
            )
        )
        raise UserError(f"--data.root {root}: holds no shards of {split}; {advice}")
    return found


def index(shard: Path) -> Index:
    """The samples of a shard, from the cache if the file has not changed since."""
    state = shard.stat()
    identity = f"{shard.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    name = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    kept = cache() / "shards" / f"{name}.npz"
    if kept.is_file():
        try:
            with np.load(kept) as stored:
                return Index(*(stored[field] for field in Index._fields))
        except Exception:  # a damaged index fails in many ways
            pass  # It is made anew.
    made = scan(shard)
    _keep(kept, made)
    return made


def _keep(file: Path, made: Index) -> None:
    unfinished = file.with_name(f".{file.stem}-{os.getpid()}.npz")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(unfinished, **made._asdict())
        unfinished.replace(file)
    except OSError as error:
        raise UserError(
            f"{file.parent}: the index of the shards cannot be written ({error.strerror}); set "
            "RES2NET_CACHE to a folder that can"
        ) from None


def scan(shard: Path) -> Index:
    """The samples of a shard, from the headers of its members.

    Raises:
        DamagedFile: it is not an archive or cut short, or a picture or a class is missing in it.
    """
    pictures: dict[str, tarfile.TarInfo] = {}
    classes: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                stem, suffix = _split(member.name)
                if member.isfile() and suffix in SUFFIXES:
                    if stem in pictures:
                        raise DamagedFile(f"{shard}: holds two pictures called {stem}")
                    pictures[stem] = member
                elif member.isfile() and suffix == LABEL:
                    classes[stem] = _number(archive, member, shard)
            _require_end(shard, archive.offset)
    except tarfile.TarError as error:
        raise DamagedFile(
            f"{shard}: is cut short or not a plain tar archive ({error}); copy it again"
        ) from None
    alone = sorted(pictures.keys() ^ classes.keys())
    if alone or not pictures:
        what = (
            f"{alone[0]} has no {'class' if alone[0] in pictures else 'picture'}"
            if alone
            else ("it holds no samples")
        )
        raise DamagedFile(
            f"{shard}: {what}; needed are pairs such as 0001.jpg and 0001{LABEL} with a number"
        )
    members = list(pictures.values())
    return Index(
        keys=np.array([os.fsencode(member.name) for member in members], dtype=np.bytes_),
        offsets=np.array([member.offset_data for member in members], dtype=np.int64),
        sizes=np.array([member.size for member in members], dtype=np.int64),
        labels=np.array([classes[stem] for stem in pictures], dtype=np.int64),
    )


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix of a member; the stem ends at the first dot of the last part of the path."""
    path = PurePosixPath(name)
    stem, _, suffix = path.name.partition(".")
    return str(path.with_name(stem or path.name)), f".{suffix.lower()}"


def _number(archive: tarfile.TarFile, member: tarfile.TarInfo, shard: Path) -> int:
    file = archive.extractfile(member)
    text = file.read() if file else b""
    if not text.strip().isdigit() or int(text) >= _MOST_CLASSES:
        raise DamagedFile(f"{shard}, {member.name}: is {text[:20]!r} and not the number of a class")
    return int(text)


def _require_end(shard: Path, offset: int) -> None:
    """Check for the zeros of an archive's end: tarfile takes a cut or damaged header for it."""
    with shard.open("rb") as file:
        file.seek(offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DamagedFile(
                f"{shard}: is cut short or damaged at byte {offset:,} (no end of the archive "
                "there); copy it again"
            )
