"""SIGTERM and Ctrl-C as a request that the loop answers at its next step."""

import signal
from types import FrameType, TracebackType
from typing import Any


class Stopped(SystemExit):
    """The run was asked to stop and has been saved; the process ends with status 128 + signal."""


class StopRequest:
    """While entered, notes SIGTERM and SIGINT instead of dying of them.

    Args:
        patient: keep noting further signals. torchrun passes on what its processes already got
            from the terminal or the cluster, so there a second signal says nothing new. Otherwise
            the second one acts at once.
    """

    def __init__(self, patient: bool) -> None:
        self.patient = patient
        self.number = 0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """True once a signal came."""
        return self.number != 0

    def stopped(self) -> Stopped:
        """The exception that ends the process; ranks that got no signal follow as if by SIGTERM."""
        return Stopped(128 + (self.number or signal.SIGTERM))

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._previous:
            self._restore(number)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
        if not self.patient:
            self._restore(number)

    def _restore(self, number: int) -> None:
        signal.signal(number, self._previous[number] or signal.SIG_DFL)
