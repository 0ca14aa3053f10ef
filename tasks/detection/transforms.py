"""From a stored picture to a sample: resized, mirrored, cut out, with objects pasted in.

A view says where the sample lies; pictures, boxes and outlines follow it. Coordinates run from a
picture's corner, so that pixel i covers i to i + 1, and a mirrored x is width - x: what COCO's
boxes and polygons mean. Polygons are moved and then drawn, which is sharper than a resized bitmap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from common.reading.outlines import Masks, Outline, decode, encode
from common.reading.windows import MEAN_COLOUR, nearest, resized
from tasks.detection.config import Resize
from tasks.detection.entries import clipped

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float64]
Levels = TypeVar("Levels", bound=NDArray[Any])
Size = tuple[int, int]
"""Height and width."""

RESIZED: Mapping[Resize, str] = {
    "area": "OpenCV's area where it shrinks, else bilinear",
    "linear": "OpenCV's bilinear",
}
"""How pictures are resized, in words."""

_THINNEST = 1.0
"""Objects that are thinner, in pixels of the sample, are left out."""


@dataclass(frozen=True)
class View:
    """What part of a stored picture a sample shows, and in which size."""

    stored: Size
    """Of the picture as it is stored."""
    scaled: Size
    """Of the whole picture at the sample's scale."""
    mirrored: bool = False
    corner: tuple[int, int] = (0, 0)
    """Row and column of the scaled, mirrored picture where the sample begins."""
    window: Size | None = None
    """Of the sample, if it is not the whole; what lies outside the picture is padding."""

    @property
    def size(self) -> Size:
        """Of the sample."""
        return self.scaled if self.window is None else self.window


class Scene(NamedTuple):
    """A sample with its N objects."""

    image: Picture
    """(H, W, 3)"""
    boxes: Boxes
    """(N, 4) left, top, right, bottom, inside the sample."""
    labels: NDArray[np.int64]
    """(N,)"""
    masks: Masks | None
    """(N, H, W) of 0 and 1."""


def fitted(stored: Size, short_side: int, longest_side: int) -> Size:
    """Size of a picture whose short side becomes `short_side`, or less to bound the other one.

    With a longest side of 0 it is not bounded.
    """
    scale = short_side / min(stored)
    if longest_side:
        scale = min(scale, longest_side / max(stored))
    return _scaled(stored, scale)


def jittered(
    stored: Size, crop: Size, scales: tuple[float, float], generator: np.random.Generator
) -> View:
    """Large-scale jitter: scaled at random against what just fits into `crop`, then cut or padded.

    From Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
    Segmentation", CVPR 2021. Every sample has the size of `crop`.
    """
    scale = min(crop[0] / stored[0], crop[1] / stored[1]) * generator.uniform(*scales)
    scaled = _scaled(stored, scale)
    rows, columns = (max(side - limit, 0) for side, limit in zip(scaled, crop, strict=True))
    corner = int(generator.integers(0, rows + 1)), int(generator.integers(0, columns + 1))
    return View(stored, scaled, corner=corner, window=crop)


def _scaled(stored: Size, scale: float) -> Size:
    height, width = (max(int(side * scale + 0.5), 1) for side in stored)
    return height, width


def look(
    image: Picture, view: View, colour: Sequence[int] = MEAN_COLOUR, resize: Resize = "area"
) -> Picture:
    """The sample's picture (H, W, 3); padding has the colour."""
    seen = _resize(image, view.scaled, resize)
    return _window(_flipped(seen) if view.mirrored else seen, view, colour)


def _resize(image: Picture, size: Size, resize: Resize) -> Picture:
    if image.shape[:2] == size:
        return image
    if resize == "area":
        return resized(image, *size)
    linear = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(linear, np.uint8)


def _window(seen: Levels, view: View, colour: Sequence[int]) -> Levels:
    if view.window is None:
        return seen
    (top, left), (height, width) = view.corner, view.window
    part = seen[top : top + height, left : left + width]
    down, across = height - part.shape[0], width - part.shape[1]
    if down or across:
        part = cv2.copyMakeBorder(part, 0, down, 0, across, cv2.BORDER_CONSTANT, value=list(colour))
    cut: Any = np.ascontiguousarray(part)
    whole: Levels = cut
    return whole


def move(points: NDArray[np.float64], view: View) -> NDArray[np.float64]:
    """Points (K, 2), x and y, of the stored picture in pixels of the sample."""
    (height, width), (top, left) = view.scaled, view.corner
    moved = points * (width / view.stored[1], height / view.stored[0])
    if view.mirrored:
        moved[:, 0] = width - moved[:, 0]
    return np.asarray(moved - (left, top))


def move_boxes(boxes: Boxes, view: View) -> Boxes:
    """Boxes (N, 4) of the stored picture in pixels of the sample, cut off at its edges."""
    corners = move(boxes.reshape(-1, 2), view).reshape(-1, 2, 2)
    moved = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    # What lies in the padding lies outside the picture.
    limit = np.minimum(view.size, np.subtract(view.scaled, view.corner))
    return clipped(moved, np.tile(limit, (len(boxes), 1)))


def draw(outlines: Sequence[Outline], view: View) -> Masks:
    """Masks (N, H, W) of 0 and 1 in the sample, of outlines in the stored picture."""
    runs = [
        encode([move(ring, view) for ring in one], *view.size) if isinstance(one, list) else None
        for one in outlines
    ]
    masks = decode(runs, *view.size)
    for mask, one in zip(masks, outlines, strict=True):
        if isinstance(one, bytes):
            mask[:] = moved(decode([one], *view.stored)[0], view)
    return masks


def moved(values: Levels, view: View) -> Levels:
    """Values (H, W) of the stored picture's pixels in the sample, each that of the nearest pixel.

    Padding has 0.
    """
    seen = nearest(values, *view.scaled)
    return _window(_flipped(seen) if view.mirrored else seen, view, (0,))


def _flipped(seen: Levels) -> Levels:
    mirrored: Any = cv2.flip(seen, 1)
    whole: Levels = mirrored
    return whole


def boxes_of(masks: Masks) -> Boxes:
    """The least boxes (N, 4) around masks (N, H, W); of no area where a mask is empty."""
    boxes = np.zeros((len(masks), 4))
    for axis, first in ((1, 0), (2, 1)):
        marked = masks.max(axis=axis)
        boxes[:, first] = marked.argmax(axis=1)
        last = marked.shape[1] - marked[:, ::-1].argmax(axis=1)
        boxes[:, first + 2] = np.where(marked.max(axis=1) > 0, last, 0)
    return boxes


def paste(scene: Scene, source: Scene) -> Scene:
    """The scene with the objects of another laid over it at their own places.

    Both need masks. What they hide is taken from the masks below, and boxes follow the masks. As in
    "Simple Copy-Paste", edges are not blended.
    """
    assert scene.masks is not None
    assert source.masks is not None
    size = scene.image.shape[:2]
    count = len(scene.labels)
    laid, image = _fit(source.masks, size), scene.image.copy()
    cover = laid.max(axis=0, initial=0)
    part = np.s_[: source.image.shape[0], : source.image.shape[1]]
    cv2.copyTo(source.image[: size[0], : size[1]], cover[part], image[part])
    masks = np.concatenate([scene.masks, laid])
    hidden = _cover(masks[:count], cover)
    boxes = scene.boxes.copy()
    boxes[hidden] = boxes_of(masks[:count][hidden])
    return Scene(
        image,
        np.concatenate([boxes, boxes_of(laid)]),
        np.concatenate([scene.labels, source.labels]),
        masks,
    )


def _fit(masks: Masks, size: tuple[int, ...]) -> Masks:
    """Masks (N, h, w) cut off or padded to (N, *size)."""
    if masks.shape[1:] == size:
        return masks
    part = masks[:, : size[0], : size[1]]
    fitted_masks = np.zeros((len(masks), *size), dtype=np.uint8)
    fitted_masks[:, : part.shape[1], : part.shape[2]] = part
    return fitted_masks


def _cover(masks: Masks, cover: Masks) -> NDArray[np.bool_]:
    """Take what `cover` (H, W) hides from masks (N, H, W), in place; returns which changed (N,)."""
    left, top, right, bottom = boxes_of(cover[None])[0].astype(int)
    part = np.s_[top:bottom, left:right]
    hidden = np.zeros(len(masks), dtype=bool)
    for place, mask in enumerate(masks):
        hidden[place] = cv2.hasNonZero(mask[part] & cover[part])
        mask[part] &= 1 - cover[part]
    return hidden


def chosen(scene: Scene, rows: NDArray[np.bool_]) -> Scene:
    """The scene with some of its objects."""
    masks = None if scene.masks is None else scene.masks[rows]
    return Scene(scene.image, scene.boxes[rows], scene.labels[rows], masks)


def visible(scene: Scene) -> Scene:
    """The scene without objects that are thinner than a pixel or of which no pixel is left."""
    thinnest = (scene.boxes[:, 2:] - scene.boxes[:, :2]).min(axis=1)
    rows: NDArray[np.bool_] = np.asarray(thinnest >= _THINNEST)
    if scene.masks is not None:
        rows &= np.array([cv2.hasNonZero(mask) for mask in scene.masks], dtype=bool)
    return scene if rows.all() else chosen(scene, rows)
