"""Reading all of a split once, in parallel."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from common.check.examined import Examined, Look, joined
from common.check.findings import Finding, Remark, gathered
from common.errors import DamagedFile, UserError
from common.reading.left_out import OnError

UNREADABLE = "cannot be read"
UNEXPLAINED = "have labels that the settings do not explain"


@dataclass(frozen=True)
class Seen:
    """A file of a split after it was read."""

    file: str
    digest: str
    """sha256 of its bytes; empty where there are none."""
    look: Look
    sound: bool
    """Whether training could use it."""


@dataclass(frozen=True)
class Examination:
    """A split after all of it was read."""

    split: Examined
    role: str
    """"training" or "scoring"."""
    seen: tuple[Seen, ...]

    def counts(self) -> dict[str, int]:
        """How much there is of each class, and of others that were met."""
        total = dict.fromkeys(self.split.classes, 0)
        for one in self.seen:
            for name, count in one.look.counts.items():
                total[name] = total.get(name, 0) + count
        return total

    def attributes(self) -> dict[str, dict[str, int]]:
        """For each attribute how many files have which word, the most frequent first."""
        tables: dict[str, dict[str, int]] = {}
        for one in self.seen:
            for name, word in one.look.attributes.items():
                table = tables.setdefault(name, {})
                table[word] = table.get(word, 0) + 1
        return {name: _falling(table) for name, table in tables.items()}

    def measures(self) -> dict[str, NDArray[np.float64]]:
        """All values of each measure."""
        names = dict.fromkeys(name for one in self.seen for name in one.look.measures)
        return {
            name: np.array(
                [one.look.measures[name] for one in self.seen if name in one.look.measures]
            )
            for name in names
        }

    def sizes(self) -> NDArray[np.int64]:
        """Height and width (N, 2) of the pictures."""
        both = [one.look.measures for one in self.seen if "height" in one.look.measures]
        rows = [(one["height"], one["width"]) for one in both]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def findings(self) -> list[Finding]:
        """What was found in single files."""
        remarks = [(one.file, remark) for one in self.seen for remark in one.look.remarks]
        return gathered(self.split.name, len(self.split), remarks)


def examine(split: Examined, role: str, on_error: OnError) -> Examination:
    """Read every file of a split, with a progress bar."""
    cv2.setNumThreads(1)  # a thread a picture is faster than many threads for one
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        looked = threads.map(lambda index: _see(split, index, on_error), range(len(split)))
        seen = tuple(tqdm(looked, f"reading {split.name}", len(split), unit=" files", leave=False))
    return Examination(split, role, seen)


def _see(split: Examined, index: int, on_error: OnError) -> Seen:
    file = split.files[index]
    digest, look = "", Look()
    try:
        content = split.content(index)
        digest = hashlib.sha256(content.tobytes()).hexdigest()
        look = split.header(content)
        return Seen(file, digest, joined(look, split.look(index)), True)
    except DamagedFile as error:
        remark = _unreadable(split.noun, error, on_error)
    except UserError as error:
        mend = "set what the labels mean, or correct the files"
        remark = Remark("error", f"{split.noun} {UNEXPLAINED}", str(error), mend)
    return Seen(file, digest, joined(look, Look(remarks=(remark,))), False)


def _unreadable(noun: str, error: DamagedFile, on_error: OnError) -> Remark:
    if on_error == "skip":
        mend = "correct or replace them; --data.on_error skip leaves them out of training and score"
        return Remark("warning", f"{noun} {UNREADABLE}", str(error), mend)
    mend = "correct or replace them, or say --data.on_error skip to go on without them"
    return Remark("error", f"{noun} {UNREADABLE}", str(error), mend)


def _falling(table: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(table.items(), key=lambda entry: -entry[1]))
