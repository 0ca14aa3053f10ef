"""Things and stuff: segments over the picture or alone, with a legend, and COCO's files."""

import json
from typing import Any

from app.heads import head
from app.heads.head import OPACITY, Choice, Line, Slider, Values, Write, mixed, png
from common.reading.image import Picture
from tasks.panoptic.draw import colours_of, painted
from tasks.panoptic.form import categories_of, coco_form
from tasks.panoptic.inference import Panoptic
from tasks.panoptic.maps import coloured


class Head(head.Head):
    """A run of panoptic segmentation."""

    @property
    def controls(self) -> tuple[Slider | Choice, ...]:
        """Whether the picture is seen below the segments."""
        return (Choice("shown", "Shown", ("overlay", "segments")), OPACITY)

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The colours of the segments."""
        if values["shown"] == "segments":
            return mixed(picture, painted(found.ids, _labels(found)), values)
        return super().draw(picture, found, values)

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The legend: things with their scores, best first, then stuff; all with their pixels."""
        colours, names = colours_of(_labels(found)), self.predictor.categories
        return [
            Line(
                names[one.label - 1].name,
                f"{one.area:,} px" if one.score is None else f"{one.score:.2f}, {one.area:,} px",
                colours[one.number],
                one.area / found.ids.size,
            )
            for one in found.segments
        ]

    def files(self, picture: Picture, found: Any, values: Values) -> dict[str, Write]:
        """Besides, what COCO's evaluators read: the PNG whose colours are ids, and its JSON."""
        return {
            **super().files(picture, found, values),
            f"{self.name}_ids.png": lambda: png(coloured(found.ids)),
            f"{self.name}_coco.json": lambda: json.dumps(self._coco(found), indent=1).encode(),
        }

    def _coco(self, found: Panoptic) -> dict[str, Any]:
        """COCO's panoptic form of one picture, whose own name the page does not keep."""
        height, width = found.ids.shape
        entry = {
            "file_name": "photo.jpg",
            "height": height,
            "width": width,
            "panoptic": f"{self.name}_ids.png",
            "segments_info": self.predictor.describe(found),
        }
        return coco_form([entry], categories_of(self.predictor.categories))


def _labels(found: Panoptic) -> dict[int, int]:
    """The class of each segment, by its number."""
    return {one.number: one.label for one in found.segments}
