"""``python -m tasks.classification.pack IMAGEFOLDER OUT``: pictures in class folders as tar shards.

The files go into the archives as they are. Each shard is a fair mix of all classes, so that readers
which go through it from front to end, as WebDataset does, see no class in a row.
"""

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.commands.command import run
from common.commands.config import parse
from common.errors import UserError
from tasks.classification import folders, labels
from tasks.classification.pictures import Pictures
from tasks.classification.shards import LABEL


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Pack an ImageFolder tree into tar shards: python -m tasks.classification.pack IN OUT."""

    folders: tuple[Path, ...]
    """The ImageFolder tree, and a new folder for the shards: the words that belong to no flag."""
    splits: tuple[str, ...] = ("train", "val")
    """Splits to pack."""
    pictures: int = 1000
    """Pictures of a shard."""
    seed: int = 0
    """Of the order within and over the shards."""

    def __post_init__(self) -> None:
        if len(self.folders) != 2:
            raise UserError(
                "python -m tasks.classification.pack takes two folders, an ImageFolder tree and a "
                f"new one; found {len(self.folders)}"
            )
        if self.pictures < 1:
            raise UserError(f"--pictures {self.pictures}: must be at least 1")


def write(pictures: Pictures, folder: Path, per_shard: int, seed: int) -> int:
    """Write pictures as FOLDER/SPLIT-000000.tar and so on; returns the number of shards.

    The same input gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(pictures)).tolist()
    parts = [order[start : start + per_shard] for start in range(0, len(order), per_shard)]
    for number, part in enumerate(parts):
        shard = folder / f"{pictures.split}-{number:06d}.tar"
        unfinished = shard.with_suffix(".unfinished")
        try:
            _write_shard(unfinished, pictures, part, number * per_shard)
            unfinished.replace(shard)
        except OSError as error:
            raise UserError(f"{shard}: cannot be written ({error.strerror})") from None
        finally:
            unfinished.unlink(missing_ok=True)
    return len(parts)


def _write_shard(file: Path, pictures: Pictures, part: Sequence[int], first: int) -> None:
    with tarfile.open(file, "w") as archive:
        for place, picture in enumerate(part, start=first):
            suffix = Path(pictures.store.key(picture)).suffix.lower()
            _add(archive, f"{place:08d}{suffix}", pictures.store.read(picture).tobytes())
            _add(archive, f"{place:08d}{LABEL}", str(pictures.labels[picture]).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def main() -> None:
    """Command."""
    config = parse(PackConfig, positional="folders")
    source, out = config.folders
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not empty; name a new folder")
    titles = source / labels.FILE
    known = labels.read(titles) if titles.is_file() else None
    splits = [folders.read(source, split, known) for split in config.splits]
    for pictures in splits:
        labels.require_same(
            pictures.classes, splits[0].classes, str(source / pictures.split), splits[0].split
        )
    for pictures in splits:
        count = write(pictures, out / pictures.split, config.pictures, config.seed)
        print(f"{pictures.summary()}, in {count:,} shards")
    labels.write(splits[0].classes, out / labels.FILE)


if __name__ == "__main__":
    run(main)
