"""What stands out: tinted, as a map, cut out, or before another background."""

from typing import Any

import cv2
import numpy as np

from app.heads import head
from app.heads.head import OPACITY, Choice, Line, Slider, Values, Write, mixed, png
from common.commands.masking import blend, cutout
from common.reading.image import Picture
from tasks.salient.draw import grey

BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "green": (40, 160, 60)}
_SHOWN = ("overlay", "map", "cut-out", *(f"on {name}" for name in BACKGROUNDS), "blurred behind")


class Head(head.Head):
    """A run of salient object detection."""

    @property
    def controls(self) -> tuple[Slider | Choice, ...]:
        """What is shown."""
        return (Choice("shown", "Shown", _SHOWN), OPACITY)

    def draw(self, picture: Picture, found: Any, values: Values) -> Picture:
        """The overlay, the map, the cut-out, or what stands out before another background."""
        shown, saliency = str(values["shown"]), found.map
        if shown == "overlay":
            drawn = self.predictor.draw(picture, found)
        elif shown == "map":
            drawn = grey(picture, saliency)
        elif shown == "cut-out":
            return cutout(picture, saliency)
        else:
            drawn = blend(picture, _behind(picture, shown), saliency)
        return mixed(picture, drawn, values)

    def rows(self, found: Any, values: Values) -> list[Line]:
        """The share that stands out."""
        share = self.predictor.describe(found)["share"]
        return [Line("stands out", f"{share:.1%}", share=share)]

    def files(self, picture: Picture, found: Any, values: Values) -> dict[str, Write]:
        """Besides, map and cut-out."""
        return {
            **super().files(picture, found, values),
            f"{self.name}_map.png": lambda: png(found.map),
            f"{self.name}_cutout.png": lambda: png(cutout(picture, found.map)),
        }


def _behind(picture: Picture, shown: str) -> Picture:
    """What is put behind what stands out."""
    if shown == "blurred behind":
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 60), np.uint8)
    colour = BACKGROUNDS[shown.removeprefix("on ")]
    return np.full_like(picture, np.array(colour, np.uint8))
