"""Drawing of skeletons over pictures."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.pose.skeleton import Skeleton

Picture = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

# RGB; told apart by their brightness too, for readers who see few colours.
LEFT: Colour = (255, 150, 40)
RIGHT: Colour = (40, 130, 255)
CENTRE: Colour = (110, 230, 130)
_OUTLINE: Colour = (20, 20, 20)
_RING: Colour = (255, 255, 255)

# Joints at or above this score are drawn in full, lower ones fade.
_CERTAIN = 0.5
_FAINTEST = 0.35


def draw_people(
    image: Picture, people: Floats, skeleton: Skeleton, threshold: float = 0.2
) -> Picture:
    """A copy of the picture with the skeletons of its people.

    Limbs are coloured by side (left orange, right blue, the rest green) and as wide as fits the
    person's size.

    Args:
        image: (H, W, 3) RGB.
        people: (N, J, 3) as x, y in pixels and score; drawn in this order.
        skeleton: names and connects the joints.
        threshold: joints at or below this score are left out, those up to 0.5 are faded.
    """
    canvas = image.copy()
    for person in people:
        _draw_person(canvas, person, skeleton, threshold)
    return canvas


def colour_of(joint: str) -> Colour:
    """Colour of a joint's side, by its name."""
    if joint.startswith("left_"):
        return LEFT
    return RIGHT if joint.startswith("right_") else CENTRE


def line_width(points: Floats) -> float:
    """Width of the limbs in pixels for a person with these joints (K, 2), at least 1.5."""
    extent = np.ptp(points, axis=0)
    return max(1.5, 0.014 * float(np.hypot(*extent)))


class _Stroke(NamedTuple):
    """A limb, or with equal ends a joint."""

    start: Floats
    end: Floats
    colour: Colour
    opacity: float


def _draw_person(canvas: Picture, person: Floats, skeleton: Skeleton, threshold: float) -> None:
    shown = (person[:, 2] > threshold) & np.isfinite(person[:, :2]).all(axis=1)
    if not shown.any():
        return
    points, scores = person[:, :2], person[:, 2]
    width = line_width(points[shown])
    opacity = np.clip(scores / _CERTAIN, _FAINTEST, 1.0)
    colours = [colour_of(name) for name in skeleton.names]
    limbs = [
        _Stroke(
            points[first],
            points[second],
            _limb_colour(colours[first], colours[second]),
            float(min(opacity[first], opacity[second])),
        )
        for first, second in skeleton.limbs
        if shown[first] and shown[second]
    ]
    joints = [
        _Stroke(points[joint], points[joint], colours[joint], float(opacity[joint]))
        for joint in np.flatnonzero(shown)
    ]
    for limb in limbs:
        _paint(canvas, limb._replace(colour=_OUTLINE, opacity=0.6 * limb.opacity), 1.7 * width)
    for limb in limbs:
        _paint(canvas, limb, width)
    for joint in joints:
        _paint(canvas, joint._replace(colour=_RING), 2.4 * width)
        _paint(canvas, joint, 1.7 * width)


def _limb_colour(first: Colour, second: Colour) -> Colour:
    """The side's colour if the limb has one side, the centre's if it joins left and right."""
    sides = {first, second} - {CENTRE}
    return sides.pop() if len(sides) == 1 else CENTRE


def _paint(canvas: Picture, stroke: _Stroke, width: float) -> None:
    """Blend a stroke with round ends into the canvas, smooth at its edges."""
    height, length = canvas.shape[:2]
    ends = np.stack((stroke.start, stroke.end))
    margin = int(width) + 2
    left, top = np.maximum(np.floor(ends.min(axis=0)).astype(int) - margin, 0)
    right, bottom = np.minimum(np.ceil(ends.max(axis=0)).astype(int) + margin + 1, (length, height))
    if left >= right or top >= bottom:
        return
    cover = _coverage(ends - (left, top), width, (bottom - top, right - left))
    part = canvas[top:bottom, left:right]
    # Most of a slanted limb's rectangle is not under it.
    under = cover > 0
    share = np.float32(stroke.opacity) * cover[under][:, None]
    before = part[under]
    part[under] = np.rint(before + share * (np.array(stroke.colour, np.float32) - before))


def _coverage(ends: Floats, width: float, shape: tuple[int, int]) -> Floats:
    """Share 0..1 of each pixel (h, w) that lies under a round-ended line.

    Taken from the distance of the pixel to the line, which keeps thin lines smooth and their
    width exact.
    """
    x = np.arange(shape[1], dtype=np.float32) - np.float32(ends[0, 0])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(ends[0, 1])
    across, down = (np.float32(step) for step in ends[1] - ends[0])
    squared = max(across**2 + down**2, np.float32(1e-12))
    along = np.clip(x * (across / squared) + y * (down / squared), 0, 1)
    distance = np.hypot(x - along * across, y - along * down)
    return np.clip(np.float32(width / 2 + 0.5) - distance, 0, 1)
