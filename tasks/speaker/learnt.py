"""Whom a model learnt: a record beside its checkpoints, and who may not be scored therefore."""

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from common import outputs
from common.commands import config as configuration
from common.errors import UserError
from common.reading.annotations import read_json
from tasks.speaker.config import Config, ScoredConfig

FILE = "speakers.json"
"""Name in a run directory."""


@dataclass(frozen=True)
class Learnt:
    """Speakers that a model was trained on, and where that is written."""

    source: Path
    speakers: frozenset[str]


def learnt_by(config: ScoredConfig) -> Learnt | None:
    """Whom the checkpoint of the config learnt; None if no record is beside it.

    Raises:
        UserError: the record is not what train writes.
    """
    if config.checkpoint not in ("best", "last"):
        return _read(_folder(config.checkpoint))
    return None if config.folder is None else _read(config.folder)


def learnt_before(config: Config) -> Learnt | None:
    """Whom the model learnt from which training starts, or which it resumes.

    None if no record is beside it: of a published model, or of an older run.

    Raises:
        UserError: the record is not what train writes.
    """
    folders = [config.out] if config.resume else []
    if config.source is not None:
        folders.append(_folder(config.source))
    found = [record for folder in folders if (record := _read(folder)) is not None]
    if not found:
        return None
    return Learnt(found[-1].source, frozenset().union(*(one.speakers for one in found)))


def keep(speakers: Iterable[str], before: Learnt | None, run: Path, main: bool) -> None:
    """Write into a run's directory whom it learns, and whom its source learnt.

    Args:
        speakers: that are trained on.
        before: as `learnt_before` gave it.
        run: the directory.
        main: whether this is the main process; others write nothing.

    Raises:
        UserError: the file cannot be written.
    """
    if not main:
        return
    known = sorted({*speakers, *(before.speakers if before is not None else ())})
    outputs.make_folder(run)
    outputs.write_text(run / FILE, json.dumps({"speakers": known}, indent=1) + "\n")


def shared_names(known: Learnt, tried: Learnt, allowed: bool) -> frozenset[str]:
    """Speakers of a list that the model, or a cohort, knows by name; others may have their names.

    Raises:
        UserError: there are some, and `allowed` is false.
    """
    both = known.speakers & tried.speakers
    if both and not allowed:
        raise UserError(
            f"{tried.source}: {len(both)} of its {len(tried.speakers)} speakers are training "
            f"speakers of {known.source} ({_some(both)}); scores of voices that the model knows "
            "mean nothing, and the cohort must not hold them either; if they are other people of "
            "the same names, say --test.shared_names allow"
        )
    return both


def _some(names: Set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _folder(source: str) -> Path:
    """The folder of a run or of one of its files."""
    path = configuration.at_home(Path(source))
    return path if path.is_dir() else path.parent


def _read(folder: Path) -> Learnt | None:
    file = folder / FILE
    if not file.is_file():
        return None
    content, _ = read_json(file)
    speakers = content.get("speakers") if isinstance(content, dict) else None
    if not isinstance(speakers, list) or not all(isinstance(name, str) for name in speakers):
        raise UserError(f"{file}: is not a list of training speakers that train wrote")
    return Learnt(file, frozenset(speakers))
