"""One job at a time, in the order of arrival; no more may wait than the settings say."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from common.errors import UserError

T = TypeVar("T")
_CLOSING = "the page is closing"


class BusyError(UserError):
    """Too many jobs wait."""


class Deadline:
    """When a job has to end, and whether it was cancelled."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds
        self.cancelled = False

    def check(self) -> None:
        """Raises UserError where the job has to end."""
        if self.cancelled:
            raise UserError("cancelled")
        if time.monotonic() > self._end:
            raise UserError(
                f"stopped: it took longer than {self.seconds:g} seconds, the limit of this page; "
                "give less at once"
            )


class Turns:
    """The line before the network, and the one thread in which jobs run.

    One thread, because every thread that runs a network keeps memory of its own.

    Args:
        waiting: jobs that may wait behind the one that runs.
        seconds: that each may take.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        self.count = 0
        """Of jobs that run or wait."""
        self._lock, self._closed = Lock(), False
        self._thread = ThreadPoolExecutor(1, "network")

    def run(self, job: Callable[[Deadline], T], part_of: Deadline | None = None) -> T:
        """What a job gives, when its turn has come.

        Between the parts of a long job others have their turns; its later parts are not refused.

        Raises:
            BusyError: too many wait already, or the page is closing.
        """
        with self._lock:
            if self._closed:
                raise BusyError(_CLOSING)
            if part_of is None and self.count > self.waiting:
                raise BusyError(
                    f"the queue is full: {self.waiting} others wait; try again in a minute"
                )
            self.count += 1
            given = self._thread.submit(lambda: job(part_of or Deadline(self.seconds)))
        try:
            return given.result()
        except CancelledError as error:
            raise BusyError(_CLOSING) from error
        finally:
            with self._lock:
                self.count -= 1

    def close(self) -> None:
        """Refuse all that wait, and all that come."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
