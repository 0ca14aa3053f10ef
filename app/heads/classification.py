"""Names of what the picture shows, where it is seen, and which scales speak."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from app.heads import head
from app.heads.head import OPACITY, Choice, Line, Slider, Values, mixed
from common.reading.image import Picture
from tasks.classification.draw import overlay
from tasks.classification.inference import Classification
from tasks.classification.lens import group_energy, listening, stages_of

RANKS = ("best", "second", "third", "fourth", "fifth")


class Seen(NamedTuple):
    """An answer, and what class activation maps are made of without the network."""

    answer: Classification
    features: Tensor
    """(1, K, h, w) of the last stage."""


class Head(head.Head):
    """A run of image classification."""

    @property
    def controls(self) -> tuple[Slider | Choice, ...]:
        """Of which class the map is."""
        ranks = RANKS[: self.predictor.top]
        return (
            Choice("shown", "Shown", ("class activation", "picture")),
            Choice("rank", "Class", ranks),
            OPACITY,
        )

    def answer(self, features: Any) -> Seen:
        """The classes."""
        return Seen(self.predictor.answer(features), features.c5)

    def before(self, picture: Picture) -> Picture:
        """The part of the picture that the network is shown."""
        cut: Picture = self.predictor.crop(picture)
        return cut

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The part of the picture that the network sees, under the map of a class."""
        cut = self.before(picture)
        if values["shown"] == "picture":
            return cut
        number = int(found.answer.best[RANKS.index(str(values["rank"]))])
        return mixed(cut, overlay(cut, self.predictor.heat_of(found.features, number)), values)

    def describe(self, found: Any, values: Values) -> Any:
        """The best classes."""
        return self.predictor.describe(found.answer)

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The best classes."""
        return [
            Line(guess.title, f"{guess.probability:.1%}", share=guess.probability)
            for guess in self.predictor.guesses(found.answer)
        ]

    def lens(self, picture: Picture) -> list[Line]:
        """Which share of each stage's energy each group of channels has; runs the network again.

        Raises:
            UserError: the backbone has no groups.
        """
        model = self.predictor.opened.model
        stages = stages_of(model.backbone)
        blocks = [block for some in stages.values() for block in some]
        with listening(blocks) as collected:
            self.predictor.heat(picture, 0)
        moments = dict(zip(blocks, collected, strict=True))
        lines = []
        for name, some in stages.items():
            parts = [group_energy(block, moments[block]) for block in some]
            # Where a stage sees a single place, nothing varies, and no group speaks.
            shares = np.mean(
                [(part / part.sum().clamp(min=1e-12)).numpy() for part in parts], axis=0
            )
            lines += [
                Line(f"{name}, group {number}", f"{share:.1%}", share=float(share))
                for number, share in enumerate(shares, start=1)
            ]
        return lines
