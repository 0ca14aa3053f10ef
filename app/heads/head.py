"""What the page shows of one run's answers."""

import importlib
import io
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import cv2
import numpy as np
from PIL import Image

from common.commands.predictor import TrunkInput
from common.errors import UserError
from common.reading.image import Picture

Value = float | str
Values = Mapping[str, Value]
"""What the controls of a head are set to, by their names."""
Write = Callable[[], bytes]
"""Gives the content of a file."""


@dataclass(frozen=True)
class Slider:
    """A number that a visitor sets."""

    name: str
    label: str
    value: float
    least: float = 0.0
    greatest: float = 1.0
    step: float = 0.01

    def accepted(self, given: Any) -> float:
        """The number that was given.

        Raises:
            UserError: it is none, or out of range.
        """
        try:
            number = float(given)
        except (TypeError, ValueError):
            number = float("nan")
        if not self.least <= number <= self.greatest:
            raise UserError(
                f"{self.name} is {given}; it is a number from {self.least:g} to {self.greatest:g}"
            )
        return number


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    name: str
    label: str
    options: tuple[str, ...]

    @property
    def value(self) -> str:
        """The first word."""
        return self.options[0]

    def accepted(self, given: Any) -> str:
        """The word that was given.

        Raises:
            UserError: it is none of them.
        """
        if given not in self.options:
            raise UserError(f"{self.name} is {given}; it is one of {', '.join(self.options)}")
        return str(given)


OPACITY = Slider("opacity", "Opacity", 1.0)
"""Of the drawing over the picture; 1 is what `predict` writes."""


class Head:
    """One run of a task whose answer is drawn over the picture.

    A class of its own, named `Head` in a module of the task's name beside this one, is for a task
    that has more to show.

    Args:
        task: of the run.
        name: of the run, unique on the page.
        source: the run directory or published name, for the command to copy.
        predictor: of the run.
    """

    FLAGS: ClassVar[tuple[str, ...]] = ()
    """With which the run is opened."""

    def __init__(self, task: str, name: str, source: str, predictor: Any) -> None:
        self.task, self.name, self.source, self.predictor = task, name, source, predictor

    @property
    def controls(self) -> Sequence[Slider | Choice]:
        """What a visitor may change without the network."""
        return (OPACITY,)

    def needs(self, heads: Sequence["Head"]) -> list["Head"]:
        """Those of the heads whose answers this one is asked with."""
        return []

    @property
    def shares(self) -> bool:
        """Whether a picture's features, which another head may have made, decide the answer."""
        return True

    @cached_property
    def trunk_input(self) -> TrunkInput:
        """What decides the trunk's features of a picture."""
        given: TrunkInput = self.predictor.trunk_input
        return given

    def answer(self, features: Any) -> Any:
        """The answer, from the trunk's features of a picture."""
        return self.predictor.answer(features)

    def ask(self, picture: Picture, others: Mapping["Head", Any]) -> Any:
        """The answer of a head that shares nothing; `others` are those that were had before."""
        return self.predictor(picture)

    def before(self, picture: Picture) -> Picture:
        """What the drawing is compared with."""
        return picture

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """What is shown (H, W, 3), or with transparency (H, W, 4), as the controls are set."""
        return mixed(picture, self.predictor.draw(picture, found), values)

    def describe(self, found: Any, values: Values) -> Any:
        """The answer as plain lists and dicts, as `predict` writes them."""
        return self.predictor.describe(found)

    def rows(self, found: Any, values: Values) -> list["Line"]:
        """What stands beside the picture."""
        return []

    def files(self, picture: Picture, found: Any, values: Values) -> dict[str, Write]:
        """What writes each result, by its name; nothing is written before it is asked for."""
        return {
            f"{self.name}.png": lambda: png(self.draw(picture, found, values)),
            f"{self.name}.json": lambda: json.dumps(
                self.describe(found, values), indent=1
            ).encode(),
        }

    def command(self, heads: Sequence["Head"]) -> str:
        """What gives the same at a terminal, beside the commands of the other heads."""
        words = ["python", "-m", f"tasks.{self.task}.predict", "--run", self.source, "photo.jpg"]
        return shlex.join([*words, "--out", self.name])

    def accepted(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """The values of all controls: those that are given, and the first ones of the others.

        Raises:
            UserError: one is unknown or out of range.
        """
        known = {one.name: one for one in self.controls}
        for name in given:
            if name not in known:
                raise UserError(f"{name}: {self.name} has no such setting ({', '.join(known)})")
        return {
            name: one.accepted(given[name]) if name in given else one.value
            for name, one in known.items()
        }


@dataclass(frozen=True)
class Line:
    """A line beside the picture."""

    text: str
    number: str = ""
    colour: Sequence[int] | None = None
    """RGB, of the square before it."""
    share: float = 0.0
    """Of the bar behind it, 0..1."""


def kind_of(task: str) -> type[Head]:
    """The class of a task's heads."""
    try:
        module = importlib.import_module(f"app.heads.{task}")
    except ModuleNotFoundError as error:
        if error.name != f"app.heads.{task}":
            raise
        return Head
    kind: type[Head] = module.Head
    return kind


def mixed(picture: Picture, drawn: Picture, values: Values) -> Picture:
    """A drawing (H, W, 3) over its picture, as opaque as the control says."""
    opacity = float(values["opacity"])
    if opacity == 1.0 or drawn.shape != picture.shape:
        return drawn
    return np.asarray(cv2.addWeighted(drawn, opacity, picture, 1 - opacity, 0), np.uint8)


def png(picture: Any) -> bytes:
    """A picture (H, W), (H, W, 3) or (H, W, 4) as a PNG file."""
    written = io.BytesIO()
    Image.fromarray(picture).save(written, format="PNG", compress_level=1)
    return written.getvalue()
