"""Training speakers on disk: a folder with a folder for each, or a list."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.reading.annotations import read_text, words_of
from common.reading.folders import tell_rest
from tasks.speaker.audio import RECORDINGS, SUFFIXES, is_recording
from tasks.speaker.kaldi import FILES, directory_at, training_pairs
from tasks.speaker.voxceleb import hint

_NAMED = 3


@dataclass(frozen=True)
class Speakers:
    """Utterances and who speaks them."""

    source: Path
    """Folder or list that they were found in."""
    names: tuple[str, ...]
    """Speakers, sorted; a label is a place here."""
    files: tuple[str, ...]
    """Utterances, sorted by speaker and name. Text, as a million Path objects are slow."""
    labels: NDArray[np.int64]
    """(N,) speaker of each utterance."""

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.files)

    @property
    def fingerprint(self) -> str:
        """sha256 over the names of speakers and files, without the folders above them."""
        names = "\n".join("/".join(Path(file).parts[-3:]) for file in self.files)
        return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()

    def summary(self) -> str:
        """One line for the log."""
        counts = np.bincount(self.labels, minlength=len(self.names))
        single = int(np.count_nonzero(counts == 1))
        note = f" ({single} of them with a single utterance)" if single else ""
        return f"{len(self):,} utterances of {len(self.names):,} speakers{note} in {self.source}"

    def some(self, per_speaker: int) -> NDArray[np.int64]:
        """Indices of at most so many utterances of each speaker, spread evenly; 0 takes all."""
        if per_speaker == 0:
            return np.arange(len(self))
        bounds = np.searchsorted(self.labels, np.arange(len(self.names) + 1))
        chosen: list[NDArray[np.int64]] = []
        for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            count = min(per_speaker, end - first)
            chosen.append(first + np.arange(count) * (end - first) // count)
        return np.concatenate(chosen)


def read_speakers(root: Path, train: Path, audio: Sequence[Path], require: bool = True) -> Speakers:
    """Training utterances below `root`; files that are no recordings do not count.

    Args:
        root: the data set.
        train: folder with a folder for each speaker (at any depth within: VoxCeleb's video
            folders), a list with `speaker path` on each line, or a data directory of Kaldi.
        audio: folders below the root that the paths of a list count from.
        require: a file of a list that does not exist is an error.

    Raises:
        UserError: one line that names what was found and what is needed.
    """
    if not root.is_dir():
        raise UserError(f"--data.root {root}: no such folder; {hint(root)}")
    source = root / train
    directory = directory_at(source)
    if directory is not None:
        speaking = training_pairs(directory)
        pairs = _found(speaking, root, audio, directory / FILES, require)
    elif source.is_dir():
        pairs = _walk(source)
    elif source.is_file():
        pairs = _listed(source, root, audio, require)
    else:
        raise UserError(
            f"--data.train {train}: {root} holds neither such a folder nor such a list; found "
            f"{_inside(root)}; {hint(root)}"
        )
    pairs.sort()
    names = tuple(sorted({speaker for speaker, _ in pairs}))
    if len(names) < 2:
        raise UserError(
            f"{source}: holds utterances of {len(names)} speakers, at least 2 are needed; it takes "
            f"a folder for each speaker with recordings in it ({', '.join(SUFFIXES)}), found "
            f"{_inside(source)}"
        )
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places[speaker] for speaker, _ in pairs], dtype=np.int64)
    return Speakers(source, names, tuple(file for _, file in pairs), labels)


def find_files(
    keys: Iterable[str], root: Path, folders: Sequence[Path], source: Path, require: bool = True
) -> list[Path]:
    """The file of each path in a list: below the first of the folders that has it.

    A file with another suffix takes its place (lists say wav, VoxCeleb2 has m4a).

    Raises:
        UserError: files are missing, unless `require` is false: then they are left to the reader.
    """
    found: list[Path] = []
    missing: list[str] = []
    for key in keys:
        candidates = [root / folder / key for folder in folders]
        # Other suffixes only where the name fails: each look costs a call to the file system.
        path = next((one for one in candidates if one.is_file()), None) or next(
            (
                other
                for one in candidates
                for suffix in SUFFIXES
                if (other := one.with_suffix(suffix)).is_file()
            ),
            None,
        )
        if path is None:
            missing.append(key)
        found.append(path or candidates[0])
    if missing and require:
        named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        places = ", ".join(str(root / folder) for folder in folders)
        raise UserError(
            f"{source}: {len(missing)} of the {len(found)} recordings that it names do not exist "
            f"({named}); looked in {places} (--data.audio); --data.on_error skip leaves them out"
        )
    return found


def _walk(folder: Path) -> list[tuple[str, str]]:
    """Speaker and file of every recording in the speakers' folders."""
    pairs: list[tuple[str, str]] = []
    with os.scandir(folder) as entries:
        speakers = sorted(entry.name for entry in entries if entry.is_dir())
    every: list[str] = []
    for speaker in speakers:
        for place, _, names in os.walk(folder / speaker):
            pairs += [(speaker, os.path.join(place, name)) for name in names if is_recording(name)]
            every += names
    tell_rest(folder, every, RECORDINGS)
    return pairs


def _listed(file: Path, root: Path, audio: Sequence[Path], require: bool) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines_of(file), start=1):
        words = words_of(line, (2,))
        if not words:
            continue
        if len(words) > 2:
            words = line.split(maxsplit=1)  # all that follows the speaker is the path
        if len(words) != 2:
            raise UserError(f"{file}, line {number}: needs `speaker path`, found {line.strip()!r}")
        pairs.append((words[0], words[1].strip()))
    return _found(pairs, root, audio, file, require)


def _found(
    pairs: Sequence[tuple[str, str]], root: Path, audio: Sequence[Path], file: Path, require: bool
) -> list[tuple[str, str]]:
    """Speaker and file of each speaker and path in a list."""
    paths = find_files([path for _, path in pairs], root, audio, file, require)
    return [(speaker, str(path)) for (speaker, _), path in zip(pairs, paths, strict=True)]


def lines_of(file: Path) -> list[str]:
    """Lines of a list file. Raises UserError if it is not there or no text."""
    return read_text(file, "list").splitlines()


def _inside(folder: Path) -> str:
    """What a folder or file holds, for a message."""
    if not folder.is_dir():
        return f"the file {folder.name}"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "") or "nothing"
