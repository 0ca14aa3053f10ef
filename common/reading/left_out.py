"""Files that cannot be read: the first one ends a command, or each is reported and left out."""

import sys
from types import TracebackType
from typing import Literal

from common.errors import DamagedFile

OnError = Literal["stop", "skip"]


class LeftOut:
    """Stands around what reads a file and what is done with it.

        left_out = LeftOut(config.data.on_error)
        for path in paths:
            with left_out:
                work_on(read(path))

    `count` is how many were left out, `kept` how many were not.

    Args:
        on_error: "skip" reports a DamagedFile on stderr and goes on after the block; "stop" lets it
            rise.
    """

    def __init__(self, on_error: OnError) -> None:
        self.on_error = on_error
        self.count = self.kept = 0

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.kept += error is None
        if self.on_error == "stop" or not isinstance(error, DamagedFile):
            return False
        self.count += 1
        print(f"skipped: {error}", file=sys.stderr, flush=True)
        return True

    def report(self, kind: str) -> None:
        """Print how many were left out, if any were; kind says what they are, such as pictures."""
        if self.count:
            print(f"{self.count} {kind} could not be read and were left out")
