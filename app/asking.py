"""One picture to many heads: each trunk that several of them share runs once."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.heads.head import Head
from app.turns import Deadline
from common.commands.opened import Opened
from common.commands.predictor import Pass, TrunkInput
from common.commands.settings import TrainedFlags
from common.reading.image import Picture
from tasks.together import Together


class Asked(NamedTuple):
    """A picture and what every head found in it."""

    picture: Picture
    """(H, W, 3), uint8 RGB, upright."""
    found: Mapping[str, Any]
    """By the name of the head."""
    passes: int
    """Of trunks, for the heads that share them."""
    trunk_seconds: float
    """That these took together."""
    head_seconds: Mapping[str, float]
    """By the name of the head; of one that cannot share a trunk, with its own."""


def ask(heads: Sequence[Head], picture: Picture, deadline: Deadline) -> Asked:
    """What the heads find in a picture (H, W, 3), uint8 RGB.

    Raises:
        UserError: a model is broken, or it takes too long.
    """
    found: dict[Head, Any] = {}
    seconds: dict[str, float] = {}
    passes, trunk_seconds = 0, 0.0
    sharing = {one.name: one for one in heads if one.shares}
    if sharing:
        partners = {name: _Partner(one, deadline) for name, one in sharing.items()}
        answers = Together(partners)(picture)
        found |= {sharing[name]: its for name, its in answers.found.items()}
        seconds |= answers.head_seconds
        passes, trunk_seconds = answers.passes, answers.trunk_seconds
    for head in heads:
        if not head.shares:
            deadline.check()
            begun = time.perf_counter()
            found[head] = head.ask(picture, found)
            seconds[head.name] = time.perf_counter() - begun
    named = {head.name: found[head] for head in heads}
    return Asked(picture, named, passes, trunk_seconds, {one: seconds[one] for one in named})


class _Partner:
    """A head as one of those that go together, which looks at the time."""

    def __init__(self, head: Head, deadline: Deadline) -> None:
        self._head, self._deadline = head, deadline
        self.opened: Opened[Any] = head.predictor.opened

    @property
    def config(self) -> TrainedFlags:
        config: TrainedFlags = self._head.predictor.config
        return config

    @property
    def trunk_input(self) -> TrunkInput:
        return self._head.trunk_input

    def features(self, picture: Picture, *, trunk: Pass | None = None) -> Any:
        self._deadline.check()
        return self._head.predictor.features(picture, trunk=trunk)

    def answer(self, features: Any) -> Any:
        return self._head.answer(features)

    def draw(self, picture: Picture, found: Any) -> Picture:
        drawn: Picture = self._head.predictor.draw(picture, found)
        return drawn

    def describe(self, found: Any) -> Any:
        return self._head.predictor.describe(found)
