"""Says in one line if files that are scored were trained on; scores on them say nothing."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from common.commands import config as configuration
from common.errors import UserError
from common.reading import overlap

Files = Sequence[Path | str]


class _Data(Protocol):
    @property
    def root(self) -> Path | None: ...


class _Settings(Protocol):
    @property
    def data(self) -> _Data: ...


class _Scored(_Settings, Protocol):
    @property
    def folder(self) -> Path | None: ...


Own = TypeVar("Own", bound=_Settings)


def report(training: Files, scored: Files) -> None:
    """Print on stderr how many files of two splits are the same, if there are any."""
    both = overlap.compare(training, scored)
    if not both.found:
        return
    file, other = both.found[0]
    first = file if file == other else f"{file} = {other}"
    part = f" ({both.compared:,} of {len(scored):,} were compared)"
    print(
        f"warning: {len(both.found):,} of the {both.compared:,} files that are scored are in the "
        f"training split as well (first: {first}); scores on them say nothing"
        f"{part if both.compared < len(set(scored)) else ''}",
        file=sys.stderr,
        flush=True,
    )


def report_of_run(
    config: _Scored, kind: type[Own], scored: Files, training: Callable[[Own], Files]
) -> None:
    """Compare what evaluate scores with what the run was trained on, where that is still there.

    With the run's own settings of the data nothing is said: its training did.

    Args:
        config: of evaluate.
        kind: the task's config class.
        scored: files.
        training: the run's config -> the files that it was trained on.
    """
    if config.folder is None:
        return
    own = configuration.read(kind, config.folder / "config.yaml")
    if own.data == config.data:
        return
    # Nobody's own files are among generated ones, which need not be made for this.
    there = config.data.root is None if own.data.root is None else own.data.root.is_dir()
    if not there:
        return
    try:
        files = training(own)
    except UserError as error:
        print(
            f"note: whether {config.folder} was trained on what is scored is not known: {error}",
            file=sys.stderr,
            flush=True,
        )
        return
    report(files, scored)
