"""Checkpoints that survive a kill, and the run directory that holds them.

A checkpoint is a dict {"format": 1, "model", "ema", "optimizer", "progress", "config"} of tensors
and plain values, read with weights_only=True. "model" and "ema" are state dicts of the bare module
("ema" may be None), "config" is YAML text. `best.pt` has no optimizer, and its "model" is what was
evaluated.
"""

import contextlib
import errno
import io
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from common import outputs
from common.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

FORMAT = 1

_PARTS = ("model", "ema", "progress", "config")

# Bit of a record's attributes in an archive; torch.load leaves such a tensor uninitialised.
_FOLDER = 0x10

# What zipfile and torch.load raise for files with damage here or there.
FAULTS = (
    OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, AttributeError,
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip

# What may change between the parts of one run: none of it changes what a sample teaches.
_FREE = ("engine.epochs", "engine.log_every", "engine.device", "loader.workers", "out", "resume")


def save(path: Path, payload: Mapping[str, Any]) -> None:
    """Write a checkpoint so that at every moment `path` is either the old or the new one, whole.

    Raises:
        UserError: the disk refused it; the previous checkpoint is kept.
    """
    content = io.BytesIO()
    torch.save(dict(payload), content)
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        size = content.getbuffer().nbytes
        kept = "the previous one is kept" if path.exists() else "there is no previous one"
        raise UserError(
            f"{path}: the checkpoint ({size:,} bytes) cannot be written: {error.strerror}; {kept}. "
            f"Make room there, then go on with --resume"
        ) from error


def _sync_folder(folder: Path) -> None:
    # Without this a power cut may undo the renaming, though the file's content is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint that `save` wrote, onto the CPU; no code in the file is run.

    Raises:
        UserError: there is no such file, it is cut short or damaged, or it is not a checkpoint.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        payload = _load(path)
    except zipfile.BadZipFile as error:
        raise UserError(_damaged(path, "is cut short or not a checkpoint")) from error
    except pickle.UnpicklingError as error:
        raise UserError(_damaged(path, "is not a checkpoint of this project")) from error
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except FAULTS as error:
        raise UserError(_damaged(path, "is damaged")) from error
    if not isinstance(payload, dict) or any(part not in payload for part in _PARTS):
        raise UserError(_damaged(path, "is not a checkpoint of this project"))
    if payload.get("format") != FORMAT:
        raise UserError(
            f"{path}: is a checkpoint of format {payload.get('format')}; "
            f"this version reads format {FORMAT}"
        )
    return payload


def _load(path: Path) -> Any:
    require_checksums(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def require_checksums(path: Path) -> None:
    """Check the records in a file of torch.save, which torch.load does not.

    Raises:
        ValueError: a checksum or mark is wrong: torch.load would return a damaged weight.
        zipfile.BadZipFile: the file is not an archive.
    """
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        folders = [one.filename for one in archive.infolist() if one.external_attr & _FOLDER]
    if broken is not None:
        raise ValueError(f"wrong checksum in {broken}")
    if folders:
        raise ValueError(f"{folders[0]} is marked as a folder")


def _damaged(path: Path, what: str) -> str:
    other = path.with_name("last.pt" if path.name == "best.pt" else "best.pt")
    advice = "start again with another --out"
    if other.is_file():
        advice = f"{other} is still there: use --checkpoint {other.stem} to evaluate it, or start "
        advice += f"again with another --out and --weights {other}"
    return f"{path}: {what} (found {path.stat().st_size:,} bytes); {advice}"


def differences(saved: str, given: str, defaults: str = "") -> list[str]:
    """Settings that differ between two configs in YAML and may not change within a run.

    A setting that the saved one does not have, as it is newer than the run, had its default.

    Returns one text a setting: "engine.batch_size: the run has 32, now 16".
    """
    old, new = _flat(yaml.safe_load(saved)), _flat(yaml.safe_load(given))
    newer = {key: value for key, value in _flat(yaml.safe_load(defaults)).items() if key in new}
    old = {**newer, **old}
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key}: the run has {old.get(key, 'nothing')}, now {new.get(key, 'nothing')}"
        for key in keys
        if key not in _FREE and old.get(key) != new.get(key)
    ]


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> {"engine.batch_size": 32, ...}."""
    flat: dict[str, Any] = {}
    for key, value in (tree or {}).items():
        name = f"{prefix}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one training run, and the config (YAML text) that belongs to it."""

    path: Path
    config_text: str
    defaults_text: str = ""
    """Every setting with its default, for runs that are older than a setting."""

    @property
    def last(self) -> Path:
        """The checkpoint from which a run goes on."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """The evaluated weights with the best score."""
        return self.path / "best.pt"

    @property
    def log(self) -> Path:
        """One JSON object per line: a line for each log step and each evaluation."""
        return self.path / "log.jsonl"

    @property
    def config(self) -> Path:
        """The config, as the other commands read it."""
        return self.path / "config.yaml"

    def check(self, resume: bool) -> None:
        """Refuse what would overwrite a run, or resume one from nothing; writes nothing.

        Raises:
            UserError: there is a checkpoint and resume is False, or none and it is True.
        """
        try:
            found = [file.name for file in (self.last, self.best) if file.exists()]
        except OSError as error:  # a name that is too long, a folder that may not be looked into
            raise UserError(f"--out {self.path}: {error.strerror}") from error
        if found and not resume:
            raise UserError(
                f"--out {self.path}: already holds a run ({', '.join(found)}); go on with it by "
                f"--resume, or choose another --out"
            )
        if resume and not self.last.exists():
            raise UserError(f"--resume: {self.last} does not exist; start without --resume")

    def open(self, resume: bool) -> None:
        """Check, and make the folder.

        Raises:
            UserError: as `check` does, or the folder cannot be made.
        """
        self.check(resume)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {self.path}: cannot be made: {error.strerror}") from error

    @contextlib.contextmanager
    def alone(self, main: bool) -> Iterator[bool]:
        """Keep other runs out of the folder, and remove what a killed one left half written.

        Gives False where another process trains in it. One process of a run asks, the main one; to
        the others it gives True. A system or a file system without locks cannot tell, and gives
        True.

        Raises:
            UserError: the folder cannot be written.
        """
        if not main:
            yield True
            return
        try:
            lock = self.path.joinpath(".lock").open("w")
        except OSError as error:
            raise UserError(f"--out {self.path}: cannot be written: {error.strerror}") from error
        with lock:
            # Not flock, which would be held on by a killed run's loader workers.
            try:
                if fcntl is not None:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    yield False
                    return
            for unfinished in (self.last, self.best, self.log, self.config):
                unfinished.with_name(unfinished.name + ".tmp").unlink(missing_ok=True)
            yield True

    def write_config(self) -> None:
        """Write config.yaml, whole or not at all."""
        outputs.write_text(self.config, self.config_text)

    def require_same(self, payload: Mapping[str, Any], samples: int) -> None:
        """Refuse to resume under another config or on another number of samples.

        Args:
            payload: the run's last checkpoint.
            samples: training samples that there are now.

        Raises:
            UserError: lists each setting that differs, or the numbers; or it is not a last.pt.
        """
        if "optimizer" not in payload:
            raise UserError(
                f"{self.last}: holds no optimizer, as the best.pt of a run, and cannot be resumed; "
                f"start another --out with --finetune {self.last}"
            )
        trained = payload.get("samples")  # checkpoints of old do not say
        changed = differences(payload["config"], self.config_text, self.defaults_text)
        if not changed and trained not in (None, samples):
            raise UserError(
                f"--resume {self.path}: the run began with {trained:,} training samples, now there "
                f"are {samples:,}; give it those again, or start another --out with --finetune "
                f"{self.path}"
            )
        if changed:
            raise UserError(
                f"--resume {self.path}: the settings are not those of the run: "
                f"{'; '.join(changed)}. Use the run's own, or another --out"
            )
