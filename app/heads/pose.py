"""Skeletons of the persons that a detector on the page finds, or of the whole picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.heads import detection, head
from app.heads.head import OPACITY, Line, Slider, Values, mixed
from common.reading.image import Picture
from tasks.pose.boxes import Box
from tasks.pose.draw import draw_people

PERSON = "person"


class Head(head.Head):
    """A run of pose estimation."""

    @property
    def controls(self) -> tuple[Slider, ...]:
        """From which score on joints are drawn."""
        least = self.predictor.config.test.joint_threshold
        return (Slider("threshold", "Least score of a joint", least), OPACITY)

    def needs(self, heads: Sequence[head.Head]) -> list[head.Head]:
        """The first detector that knows persons."""
        return [one for one in heads if _finds_persons(one)][:1]

    @property
    def shares(self) -> bool:
        """Never: its trunk is given persons, not the picture."""
        return False

    def ask(self, picture: Picture, others: Mapping[head.Head, Any]) -> Any:
        """The joints of the persons that were found; without a detector of the whole picture."""
        found = [(one, its) for one, its in others.items() if _finds_persons(one)]
        boxes = boxes_of(*found[0]) if found else None
        return self.predictor(picture, boxes)

    def command(self, heads: Sequence[head.Head]) -> str:
        """With the boxes that the detector's command writes."""
        boxes = [f"--boxes {one.name}/detections.json" for one in self.needs(heads)]
        return " ".join([super().command(heads), *boxes])

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The skeletons."""
        threshold = float(values["threshold"])
        people = found.joints[::-1]
        drawn = draw_people(picture, people, self.predictor.skeleton, threshold)
        return mixed(picture, drawn, values)

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The persons, best first."""
        return [
            Line(f"person {number}", f"{score:.2f}", share=min(1.0, float(score)))
            for number, score in enumerate(found.scores, start=1)
        ]


def _finds_persons(one: head.Head) -> bool:
    return isinstance(one, detection.Head) and PERSON in one.predictor.classes


def boxes_of(detector: head.Head, found: Any) -> list[Box]:
    """The boxes of the persons that a detector found, as `predict` lists them."""
    seen = detection.above(found, detection.THRESHOLD)
    label = detector.predictor.classes.index(PERSON) + 1
    return [
        Box((left, top, right - left, bottom - top), float(score))
        for (left, top, right, bottom), score, its in zip(
            seen.boxes.tolist(), seen.scores, seen.labels, strict=True
        )
        if its == label
    ]
