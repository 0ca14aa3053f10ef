"""Kaldi's data directories: `wav.scp` says where recordings lie, `utt2spk` who speaks in them."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from common.reading.annotations import read_text

FILES, SPEAKERS = "wav.scp", "utt2spk"

_PARTS = "segments"
_ARCHIVED = re.compile(r":\d+$")
_MEND = "Kaldi's utils/fix_data_dir.sh makes both hold the same"


class DataDirectory(NamedTuple):
    """What a data directory says of its utterances."""

    folder: Path
    files: dict[str, str]
    """By utterance, as `wav.scp` writes them: absolute, or from the folder of Kaldi's recipe."""
    speakers: dict[str, str]
    """By utterance; empty without `utt2spk`."""


def directory_at(source: Path) -> Path | None:
    """The data directory that `source` is, or one of whose two files it is; else None."""
    if source.name in (FILES, SPEAKERS) and source.is_file():
        return source.parent
    both = (source / FILES).is_file() and (source / SPEAKERS).is_file()
    return source if both else None


def read_directory(folder: Path) -> DataDirectory:
    """Read a data directory, with or without `utt2spk`.

    Raises:
        UserError: one line that names the file and its line: another form, an utterance that is
            listed twice, a command or an archive in place of a file, or parts of recordings.
    """
    parts = folder / _PARTS
    if parts.is_file():
        first = next(iter(_lines(parts)), (1, ""))
        raise UserError(
            f"{parts}, line {first[0]}: cuts recordings into utterances ({first[1]!r}), which is "
            "not read here; write each utterance to a file, as extract-segments does, and name "
            f"these in {FILES}"
        )
    files = _columns(folder / FILES)
    for utterance, (number, value) in files.items():
        _require_file(folder / FILES, number, utterance, value)
    speakers = _columns(folder / SPEAKERS) if (folder / SPEAKERS).is_file() else {}
    return DataDirectory(folder, _values(files), _values(speakers))


def training_pairs(folder: Path) -> list[tuple[str, str]]:
    """Speaker and file, as `wav.scp` writes it, of each utterance of a data directory.

    Raises:
        UserError: as `read_directory` says, or one of the two files has utterances of its own.
    """
    found = read_directory(folder)
    if not (folder / SPEAKERS).is_file():
        raise UserError(f"{folder}: holds {FILES} and no {SPEAKERS}, which says who speaks")
    for name, own, other, others in (
        (FILES, found.files, SPEAKERS, found.speakers),
        (SPEAKERS, found.speakers, FILES, found.files),
    ):
        _require_all(own, others, folder / name, other)
    return [(found.speakers[utterance], file) for utterance, file in found.files.items()]


def directory_of(
    utterances: Collection[str], file: Path, folders: Iterable[Path]
) -> DataDirectory | None:
    """The data directory whose utterances a trial list names; None if the list names files.

    Args:
        utterances: that are named.
        file: the list.
        folders: where to look.

    Raises:
        UserError: as `read_directory` says, or the directory has some of the utterances only.
    """
    for folder in dict.fromkeys(folders):
        if not (folder / FILES).is_file():
            continue
        if not set(utterances) & {line.split()[0] for _, line in _lines(folder / FILES)}:
            continue
        found = read_directory(folder)
        _require_all(utterances, found.files, file, str(folder / FILES))
        if found.speakers:
            _require_all(utterances, found.speakers, file, str(folder / SPEAKERS))
        return found
    return None


def _require_all(wanted: Collection[str], there: Collection[str], source: Path, place: str) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise UserError(
            f"{source}: {len(missing):,} of its {len(wanted):,} utterances are not in {place} "
            f"(first {missing[0]}); {_MEND}"
        )


def _require_file(file: Path, number: int, utterance: str, value: str) -> None:
    where = f"{file}, line {number}: {utterance} is"
    if value.endswith("|"):
        raise UserError(
            f"{where} made by a command ({value!r}), and commands of a list are not run; write "
            "what it gives to a wav file and name that"
        )
    if value == "-" or _ARCHIVED.search(value):
        raise UserError(
            f"{where} a place in an archive ({value!r}), which is not read here; write it to a wav "
            "file, as wav-copy does, and name that"
        )


def _columns(file: Path) -> dict[str, tuple[int, str]]:
    """Number of the line and what stands behind the utterance, by utterance."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in _lines(file):
        words = line.split(maxsplit=1)
        if len(words) != 2:
            raise UserError(f"{file}, line {number}: needs an utterance and more, found {line!r}")
        if words[0] in found:
            raise UserError(
                f"{file}, line {number}: {words[0]} is on line {found[words[0]][0]} as well"
            )
        found[words[0]] = number, words[1]
    return found


def _values(columns: dict[str, tuple[int, str]]) -> dict[str, str]:
    return {utterance: value for utterance, (_, value) in columns.items()}


def _lines(file: Path) -> list[tuple[int, str]]:
    """Number and text of each line that holds something."""
    lines = enumerate(read_text(file, "list").splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
