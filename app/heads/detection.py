"""Boxes, masks and names of objects above a threshold."""

from typing import Any

from app.heads import head
from app.heads.head import OPACITY, Line, Slider, Values
from common.reading.image import Picture
from tasks.detection.draw import colour_of
from tasks.detection.inference import Detections

LEAST = 0.05
"""Objects of lower scores are not looked for; the slider begins here."""
THRESHOLD = 0.5
"""That of `predict`."""


class Head(head.Head):
    """A run of object detection or instance segmentation."""

    FLAGS = ("--test.score_threshold", str(LEAST))

    @property
    def controls(self) -> tuple[Slider, ...]:
        """From which score on objects are shown."""
        return (Slider("threshold", "Least score", THRESHOLD, LEAST), OPACITY)

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The objects above the threshold."""
        return super().draw(picture, above(found, float(values["threshold"])), values)

    def describe(self, found: Any, values: Values) -> Any:
        """The objects above the threshold."""
        return self.predictor.describe(above(found, float(values["threshold"])))

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The objects, best first."""
        seen = above(found, float(values["threshold"]))
        return [
            Line(self.predictor.classes[label - 1], f"{score:.2f}", colour_of(label), float(score))
            for label, score in zip(seen.labels.tolist(), seen.scores, strict=True)
        ]


def above(found: Detections, threshold: float) -> Detections:
    """The objects whose scores are above the threshold."""
    kept = found.scores > threshold
    masks = found.masks
    if masks is not None:
        masks = [mask for mask, one in zip(masks, kept, strict=True) if one]
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept], masks)
