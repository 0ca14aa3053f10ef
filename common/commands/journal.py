"""What predict has finished, on disk at any time: it is read by --resume, and after a crash.

`progress.jsonl` has a line for every input that is finished, with what was found in it. Each rank
writes a file of its own, so that none waits for another.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from common import outputs
from common.commands.settings import TrainedFlags
from common.errors import DamagedFile, UserError

Entry = dict[str, Any]

_FREE = {
    "inputs", "recursive", "camera", "sample", "resume", "out", "run", "checkpoint", "loader",
    "engine",
}  # fmt: skip
"""Settings that decide nothing of what is found in a picture, or that the weights' hash covers."""


_END = {"end": True}
"""The line behind the last input."""


class Finished(NamedTuple):
    """What is known of a finished input."""

    input: str
    """Its absolute path."""
    order: int
    """Its number among all inputs."""
    entries: list[Entry]


def digest(config: TrainedFlags, weights: Path) -> str:
    """A hash of everything that decides what is found in a picture."""
    settings = {key: value for key, value in asdict(config).items() if key not in _FREE}
    settings.get("data", {}).pop("on_error", None)
    hashed = hashlib.sha256(repr(sorted(settings.items())).encode(errors="surrogateescape"))
    with weights.open("rb") as file:
        hashed.update(hashlib.file_digest(file, "sha256").digest())
    return hashed.hexdigest()


class Journal:
    """Appends to this rank's file.

    Args:
        out: folder of the results.
        rank: of this process.
        settings: their `digest`.
    """

    def __init__(self, out: Path, rank: int, settings: str) -> None:
        self.path = out / ("progress.jsonl" if rank == 0 else f"progress.{rank}.jsonl")
        self.settings = settings

    def __enter__(self) -> "Journal":
        self._file: TextIO = self.path.open("a", encoding="utf-8")
        if self._file.tell() == 0:
            self._write({"settings": self.settings})
        return self

    def add(self, one: Finished) -> None:
        """Write a line; when this returns, it survives the end of the process."""
        self._write(one._asdict())

    def _write(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def read(out: Path) -> list[Finished]:
    """What all ranks have finished, in the order of the inputs; cut lines do not count."""
    found: dict[str, Finished] = {}
    for path in _files(out):
        for content in _lines(path):
            if "input" in content:
                found[content["input"]] = Finished(**content)
    return sorted(found.values(), key=lambda one: one.order)


def begin(out: Path, settings: str, resume: bool) -> set[str]:
    """Make the folder ready; returns the inputs that are finished in it. On one rank only.

    Raises:
        UserError: what is there was found under other settings or by another model, or by a
            command that was stopped, and resume is not set.
    """
    outputs.make_folder(out)
    if not resume:
        content = [line for path in _files(out) for line in _lines(path)]
        require_finished(out, any("input" in line for line in content), _END in content)
        for path in _files(out):
            path.unlink()
        return set()
    others = {content.get("settings", settings) for path in _files(out) for content in _lines(path)}
    if others - {settings}:
        raise UserError(
            f"--resume: the results in {out} were found by another model or under other settings; "
            "repeat those, or name another --out"
        )
    finished = read(out)
    lines = [{"settings": settings}, *(one._asdict() for one in finished)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    outputs.write_text(out / "progress.jsonl", text)
    for path in _files(out):
        if path.name != "progress.jsonl":
            path.unlink()
    return {one.input for one in finished}


def require_finished(folder: Path, begun: bool, finished: bool) -> None:
    """Refuse to delete what a stopped command has found.

    Raises:
        UserError: something is begun and not finished.
    """
    if begun and not finished:
        raise UserError(
            f"{folder}: holds what a command has found that was stopped before its end; go on with "
            "--resume, or name another --out"
        )


def end(out: Path) -> None:
    """Note that all inputs are finished: a new start may then replace the results."""
    with (out / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(_END) + "\n")


def advised(error: DamagedFile, flags: str = "--resume --data.on_error skip") -> DamagedFile:
    """The error with the way on."""
    if "--data.on_error" in str(error):
        return error
    return DamagedFile(f"{error}; to go on without it, add {flags}")


@contextlib.contextmanager
def stoppable(out: Path, main: bool) -> Iterator[None]:
    """Say, on the main rank, where the results are and how to go on when Ctrl-C comes.

    Raises:
        DamagedFile: with the way on, where one comes.
    """
    try:
        yield
    except DamagedFile as error:
        raise advised(error) from error
    except KeyboardInterrupt:
        if main:
            print(
                f"stopped; what was found until now is in {out}, and the same command with "
                "--resume goes on from there",
                file=sys.stderr,
            )
        raise


def _files(out: Path) -> list[Path]:
    return sorted(out.glob("progress*.jsonl"))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def entries(finished: Sequence[Finished]) -> list[Entry]:
    """What was found in all inputs."""
    return [entry for one in finished for entry in one.entries]
