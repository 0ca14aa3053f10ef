"""Depth in colours above a scale."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.heads import head
from app.heads.head import OPACITY, Choice, Line, Slider, Values, Write, mixed
from common.reading.image import Picture
from tasks.depth.draw import paint, scale, span_of


class Head(head.Head):
    """A run of depth estimation."""

    @property
    def controls(self) -> tuple[Slider | Choice, ...]:
        """How opaque the colours are."""
        return (OPACITY,)

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The colours over the picture, above the scale."""
        ends, metric = span_of(found.depth), self.predictor.metric
        painted = mixed(picture, paint(found.depth, metric, ends), values)
        return np.concatenate([painted, scale(painted.shape[1], metric, ends)])

    def rows(self, found: Any, values: Values) -> list[Line]:
        """Nearest, median and farthest."""
        described = self.predictor.describe(found)
        unit = " m" if self.predictor.metric else ""
        return [
            Line(name, f"{value:.2f}{unit}")
            for name, value in described.items()
            if isinstance(value, float)
        ]

    def files(self, picture: Picture, found: Any, values: Values) -> dict[str, Write]:
        """Besides, the numbers as NPY: float32 (H, W)."""
        drawn = super().files(picture, found, values)
        return {**drawn, f"{self.name}.npy": lambda: _npy(found.depth)}


def _npy(depth: NDArray[np.float32]) -> bytes:
    written = io.BytesIO()
    np.save(written, depth)
    return written.getvalue()
