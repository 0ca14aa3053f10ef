"""``python -m tasks.speaker.voxceleb FOLDER``: whether VoxCeleb's archives arrived whole.

VoxCeleb asks everybody to fill in a form, and gives a login in return. Nothing here fetches it or
gets around that: this checks what you have downloaded, against the hashes that are known.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from common.commands.command import run
from common.commands.config import parse
from common.errors import UserError

PAGE = "https://mm.kaist.ac.kr/datasets/voxceleb"

HOW = (
    f"VoxCeleb is given to people who ask for it on {PAGE}, with a login of their own; "
    "python -m tasks.speaker.voxceleb FOLDER checks the archives that you have"
)


class Archive(NamedTuple):
    """One published archive."""

    name: str
    parts: tuple[str, ...]
    """Files that make it, in order; one that is not split has itself alone."""
    md5: str
    """Of the whole archive."""
    unpacked: str
    """Folder that it holds."""


def _split(name: str, letters: str) -> tuple[str, ...]:
    return tuple(f"{name}{letter}" for letter in letters)


ARCHIVES = (
    Archive(
        "VoxCeleb1 dev", _split("vox1_dev_wav_parta", "abcd"),
        "ae63e55b951748cc486645f532ba230b", "vox1/dev/wav",
    ),
    Archive(
        "VoxCeleb1 test", ("vox1_test_wav.zip",),
        "185fdc63c3c739954633d50379a3d102", "vox1/test/wav",
    ),
    Archive(
        "VoxCeleb2 dev", _split("vox2_dev_aac_parta", "abcdefgh"),
        "bbc063c46078a602ca71605645c2a402", "vox2/dev/aac",
    ),
    Archive(
        "VoxCeleb2 test", ("vox2_test_aac.zip",),
        "0d2b3ea430a821c33263b5ea37ede312", "vox2/test/aac",
    ),
    Archive("MUSAN", ("musan.tar.gz",), "0c472d4fc0c5141eca47ad1ffeb2a7df", "musan"),
    Archive(
        "RIRS_NOISES", ("rirs_noises.zip",), "e6f48e257286e05de56413b4779d8ffb", "RIRS_NOISES"
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check downloaded archives: python -m tasks.speaker.voxceleb FOLDER."""

    folder: tuple[Path, ...]
    """Where the archives lie."""


def hint(root: Path) -> str:
    """What to do where a data set is expected and is not there, for a message."""
    archives = [part for archive in ARCHIVES for part in archive.parts if (root / part).is_file()]
    if archives:
        return f"{root / archives[0]} is not unpacked; tasks/speaker/README.md says how"
    return HOW


def verify(folder: Path) -> list[str]:
    """One line on each archive of which at least a part is in the folder.

    Raises:
        UserError: none is.
    """
    lines: list[str] = []
    for archive in ARCHIVES:
        missing = [part for part in archive.parts if not (folder / part).is_file()]
        if len(missing) == len(archive.parts):
            continue
        if missing:
            lines.append(f"{archive.name}: incomplete, {', '.join(missing)} missing")
            continue
        found = _md5([folder / part for part in archive.parts])
        verdict = (
            f"whole; unpack it so that {archive.unpacked} lies below --data.root"
            if found == archive.md5
            else f"damaged, its md5 is {found} and not {archive.md5}; download it again"
        )
        lines.append(f"{archive.name}: {verdict}")
    if not lines:
        names = ", ".join(archive.parts[0] for archive in ARCHIVES)
        raise UserError(f"{folder}: holds none of the archives ({names}, ...); {HOW}")
    return lines


def _md5(files: list[Path]) -> str:
    """Of the files one after the other, as `cat` would join them."""
    digest = hashlib.md5(usedforsecurity=False)
    size = sum(file.stat().st_size for file in files)
    with tqdm(total=size, unit="B", unit_scale=True, desc=files[0].name, disable=None) as bar:
        for file in files:
            with file.open("rb") as content:
                while block := content.read(1 << 22):
                    digest.update(block)
                    bar.update(len(block))
    return digest.hexdigest()


def main() -> None:
    """Command."""
    config = parse(VerifyConfig, positional="folder")
    for folder in config.folder:
        print("\n".join(verify(folder)))


if __name__ == "__main__":
    run(main)
