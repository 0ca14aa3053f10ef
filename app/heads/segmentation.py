"""Label maps over the picture or alone, with a legend."""

import io
from typing import Any

from PIL import Image

from app.heads import head
from app.heads.head import OPACITY, Choice, Line, Slider, Values, Write, mixed
from common.reading.image import Picture
from tasks.segmentation.draw import coloured


class Head(head.Head):
    """A run of semantic segmentation."""

    @property
    def controls(self) -> tuple[Slider | Choice, ...]:
        """Whether the picture is seen below the labels."""
        return (Choice("shown", "Shown", ("overlay", "labels")), OPACITY)

    @property
    def shares(self) -> bool:
        """Not where pictures are cut into windows."""
        return self.predictor.config.test.window is None

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The colours of the classes."""
        if values["shown"] == "labels":
            return mixed(picture, coloured(found.labels, self.predictor.colours), values)
        return super().draw(picture, found, values)

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The legend: classes that are seen, with their shares."""
        classes = list(self.predictor.classes)
        return [
            Line(name, f"{share:.1%}", self.predictor.colours[classes.index(name)].tolist(), share)
            for name, share in self.predictor.describe(found)["shares"].items()
        ]

    def files(self, picture: Picture, found: Any, values: Values) -> dict[str, Write]:
        """Besides, the palette PNG whose values are the labels."""
        drawn = super().files(picture, found, values)
        return {**drawn, f"{self.name}_labels.png": lambda: self._labels(found)}

    def _labels(self, found: Any) -> bytes:
        labels, written = Image.fromarray(found.labels), io.BytesIO()
        labels.putpalette(self.predictor.colours.ravel().tolist())
        labels.save(written, format="PNG")
        return written.getvalue()
