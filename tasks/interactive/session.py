"""A picture that is being clicked on: clicks, undo, and the mask so far."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from tasks.interactive import clicks as clicking
from tasks.interactive.clicks import FARTHEST, Box, Click
from tasks.interactive.config import ScoringConfig
from tasks.interactive.robot import Mask, structural

Probabilities = NDArray[np.float32]
Size = tuple[int, int]
Answer = Callable[[NDArray[np.float32]], Probabilities]
"""Hints (3, h, w), as the network's `decode` says, to the probabilities (h, w) of the object."""


class State(NamedTuple):
    """Where a session is after some clicks: what undo needs, and no more, of large pictures."""

    clicks: tuple[Click, ...]
    last: Probabilities
    """(h, w) of the network's input: the probabilities that it gave last."""


class Session:
    """Clicks on one picture.

        session = predictor.start(picture)
        session.click(120, 80)                  # this belongs to it
        session.click(30, 40, positive=False)   # this does not
        session.undo()
        session.mask                            # (H, W), bool

    The same clicks give the same mask, and an undo the mask of before.

    Args:
        answer: asks the network, which has seen the picture.
        late: whether the third hint is the previous mask; otherwise it is the first click.
        size: height and width of the picture.
        input_size: those of the network's input.
        test: threshold and post-processing.
        mask: to begin with, (H, W).
        box: around the object, to begin with.

    Raises:
        UserError: the mask has another size or is empty, the box lies outside, or the network does
            not take them.
    """

    def __init__(
        self,
        answer: Answer,
        late: bool,
        size: Size,
        input_size: Size,
        test: ScoringConfig,
        mask: NDArray[Any] | None = None,
        box: Box | None = None,
    ) -> None:
        self.answer, self.late, self.test = answer, late, test
        self.size, self.input_size = size, input_size
        self.begun = False
        """Whether there is a mask without a positive click."""
        self.nearest = clicking.nearest((), *input_size)
        """(2, h, w) of the network's input: pixels from the nearest click of each kind."""
        self.start = np.zeros(size, np.float32)
        """(H, W): the probabilities before any click."""
        self.states = [State((), np.zeros(input_size, np.float32))]
        if mask is not None or box is not None:
            self._begin(mask, box)
        self.probabilities = self.start
        """(H, W): how sure the network is that a pixel is the object's."""

    def _begin(self, mask: NDArray[Any] | None, box: Box | None) -> None:
        if not self.late:
            raise UserError("--model.network fcanet: takes clicks alone, neither a mask nor a box")
        if mask is not None and box is not None:
            raise UserError("a mask and a box: give one of them to begin with")
        self.begun = True
        if box is not None:
            clicking.require_box(box, *self.size)
            left, top, right, bottom = box
            self.start[top : bottom + 1, left : right + 1] = 1
        else:
            self.start = given_mask(mask, self.size)
        self.states = [State((), _resized(self.start, self.input_size))]
        if box is not None:
            self.states = [State((), self._answer((), self.nearest))]
            self.start = _resized(self.states[0].last, self.size)

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks so far."""
        return self.states[-1].clicks

    @property
    def mask(self) -> Mask:
        """(H, W): the pixels of the object."""
        found: Mask = self.probabilities > self.test.threshold
        return structural(found, self.clicks) if self.test.structural else found

    def click(self, x: int, y: int, positive: bool = True) -> Mask:
        """The mask (H, W) after one more click, on the pixel of column x and row y.

        Raises:
            UserError: it is outside of the picture, contradicts an earlier one at its place, or the
                first one is negative where there is no mask; or the model is broken.
        """
        before, click = self.clicks, Click(int(x), int(y), bool(positive))
        clicking.require_possible(click, before, *self.size)
        if not positive and not self.begun and not any(one.positive for one in before):
            raise UserError(
                f"click {x},{y},-: there is no positive click before it; the first one says what "
                "is wanted"
            )
        clicks, nearest = (*before, click), self.nearest.copy()
        plane = nearest[0 if click.positive else 1]
        distance = clicking.distance(self._placed(click), *self.input_size)
        np.minimum(plane, distance, out=plane)
        last = self._answer(clicks, nearest)
        self.states.append(State(clicks, last))
        self.nearest, self.probabilities = nearest, _resized(last, self.size)
        return self.mask

    def undo(self) -> Mask:
        """The mask (H, W) of before the last click; without clicks nothing changes."""
        if len(self.states) > 1:
            self.states.pop()
            placed = [self._placed(one) for one in self.clicks]
            self.nearest = clicking.nearest(placed, *self.input_size)
            last = self.states[-1].last
            self.probabilities = _resized(last, self.size) if self.clicks else self.start
        return self.mask

    def _placed(self, click: Click) -> Click:
        """A click in the network's input."""
        factors = (one / other for one, other in zip(self.input_size, self.size, strict=True))
        return clicking.scaled(click, *factors)

    def _answer(self, clicks: Sequence[Click], nearest: NDArray[np.float32]) -> Probabilities:
        """The network's probabilities (h, w) after clicks, given also the mask before them."""
        third = self.states[-1].last if self.late else self._first(clicks)
        last = self.answer(np.concatenate([nearest, third[None]]))
        if not np.isfinite(last).all():
            raise UserError("the model's mask is not finite: this checkpoint is of a failed run")
        return last

    def _first(self, clicks: Sequence[Click]) -> NDArray[np.float32]:
        first = next((one for one in clicks if one.positive), None)
        if first is None:
            return np.full(self.input_size, FARTHEST, np.float32)
        return clicking.distance(self._placed(first), *self.input_size)


def given_mask(mask: NDArray[Any] | None, size: Size) -> Probabilities:
    """A mask (H, W) to begin with: true or above half of its greatest level, as 0 and 1.

    Raises:
        UserError: it has another size than the picture, or is empty.
    """
    assert mask is not None
    if mask.shape != size:
        found = "x".join(map(str, mask.shape[::-1]))
        raise UserError(f"the mask has {found} pixels, the picture {size[1]}x{size[0]}")
    inside = mask.astype(np.float32) * 2 > float(mask.max())
    if not inside.any():
        raise UserError("the mask to begin with is empty; leave it out, and click")
    return inside.astype(np.float32)


def _resized(values: Probabilities, size: Size) -> Probabilities:
    """Values (h, w) in another size, bilinear."""
    if values.shape == size:
        return values
    found = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)
