"""Answers that are kept for a while, so that sliders and downloads need no network."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np
import torch

from app.asking import Asked
from common.errors import UserError


class Kept:
    """Answers by a key that cannot be guessed.

    Args:
        most: bytes of all answers together; the oldest make room for new ones.
        seconds: after which an answer is forgotten.
    """

    def __init__(self, most: float, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._found: OrderedDict[str, tuple[float, int, Asked]] = OrderedDict()
        self._lock = Lock()

    def add(self, asked: Asked) -> str:
        """Keep an answer; returns its key."""
        key, size = secrets.token_urlsafe(16), bytes_of(asked)
        with self._lock:
            self._found[key] = (time.monotonic(), size, asked)
            while self._bytes() > self.most and len(self._found) > 1:
                self._found.popitem(last=False)
        return key

    def get(self, key: str | None) -> Asked:
        """The answer of a key.

        Raises:
            UserError: there is none, or none any more.
        """
        self.sweep()
        with self._lock:
            if key is None or key not in self._found:
                raise UserError("this picture's answers are no longer kept; give it again")
            return self._found[key][2]

    def sweep(self) -> None:
        """Forget what is too old."""
        with self._lock:
            oldest = time.monotonic() - self.seconds
            while self._found and next(iter(self._found.values()))[0] < oldest:
                self._found.popitem(last=False)

    def _bytes(self) -> int:
        return sum(size for _, size, _ in self._found.values())


def bytes_of(value: Any) -> int:
    """Bytes of the arrays in nested tuples, lists and dicts; others count for nothing."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return int(value.nbytes)
    if isinstance(value, dict):
        return bytes_of(value.values())
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return sum(bytes_of(one) for one in value)
    return 0
