"""Paints the people of the sample data as a camera sees them.

Body coordinates: x to the right of the picture, y down from 0 at the top of the head to 1 at the
soles, in units of the person's height. The person turns about the vertical axis.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.reid.sample.look import Colour, Look

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sight:
    """How a person stands before a camera."""

    turn: float
    """0 seen from the front, pi from the back, pi / 2 from its left side."""
    stride: float
    """Of the legs, -1..1."""
    light: float
    """Direction of the light as an angle: 0 from the camera."""


def paint(look: Look, sight: Sight, height: int) -> tuple[Picture, Picture]:
    """A person of that height in pixels: colour (h, w, 3) and coverage (h, w) of 0 or 255."""
    canvas = _Canvas(height)
    side, front = np.sin(sight.turn), np.cos(sight.turn)
    parts = _limbs(look, sight)
    for part in sorted(parts, key=lambda part: part[0]):
        canvas.limb(*part[1:])
        if part[0] == _TRUNK:
            _trunk(canvas, look, sight)
    _head(canvas, look, side, front)
    _bag(canvas, look, side, front)
    return canvas.colour, canvas.coverage


_TRUNK = 0.0  # Depth of the trunk: what is nearer to the camera is painted later.

Limb = tuple[float, list[tuple[float, float]], tuple[float, float], Colour]
"""Depth, points (x, y) along it, thickness at its ends, colour."""


def _limbs(look: Look, sight: Sight) -> list[Limb]:
    """Arms and legs, and a mark at the trunk's depth."""
    side, front = float(np.sin(sight.turn)), float(np.cos(sight.turn))
    parts: list[Limb] = [(_TRUNK, [(0.0, 0.5), (0.0, 0.52)], (0.02, 0.02), look.shirt)]
    sleeve = look.shirt if look.long_sleeves else look.skin
    leg = look.below if look.worn_below == "trousers" else look.skin
    for hand in (1, -1):
        # A point sideways of the body is seen at front, one ahead of it at side.
        swing = -hand * sight.stride
        shoulder = hand * 0.105 * look.build * front
        nearer = hand * side * 0.1
        elbow = shoulder + 0.03 * hand * front + 0.05 * swing * side
        wrist = elbow + 0.01 * hand * front + 0.09 * swing * side + 0.02 * side
        thin = 0.026 * look.build
        upper = [(shoulder, 0.2), (elbow, 0.34)]
        lower = [(elbow, 0.34), (wrist, 0.46)]
        parts.append((nearer + 0.001, lower, (thin, 0.8 * thin), sleeve))
        parts.append((nearer + 0.0011, [(wrist, 0.465), (wrist, 0.485)], (0.022, 0.022), look.skin))
        parts.append((nearer + 0.002, upper, (1.25 * thin, thin), look.shirt))
        hip = hand * 0.045 * look.build * front
        knee = hip + 0.055 * hand * sight.stride * side + 0.012 * side
        foot = hip + 0.13 * hand * sight.stride * side
        lift = 0.02 * abs(sight.stride) * (hand * sight.stride < 0)
        thick = 0.047 * look.build
        far = -0.2 + 0.02 * nearer
        thigh = look.below if look.worn_below != "skirt" else look.skin
        parts.append((far, [(knee, 0.73), (foot, 0.95 - lift)], (0.75 * thick, 0.03), leg))
        parts.append((far + 1e-4, [(hip, 0.52), (knee, 0.73)], (thick * 1.1, thick * 0.8), thigh))
        toe = foot + 0.045 * side
        shoe = [(foot, 0.965 - lift), (toe, 0.975 - lift)]
        parts.append((far + 2e-4, shoe, (0.028, 0.022), look.shoes))
    return parts


def _trunk(canvas: "_Canvas", look: Look, sight: Sight) -> None:
    """Hips or skirt, then the shirt with its pattern where the body's surface carries it."""
    side, front = abs(float(np.sin(sight.turn))), abs(float(np.cos(sight.turn)))

    def half(wide: float, deep: float) -> float:
        return float(np.hypot(wide * front, deep * side)) * look.build

    hip = half(0.092, 0.075)
    if look.worn_below == "skirt":
        hem = half(0.13, 0.12)
        canvas.shape([(-hip, 0.46), (hip, 0.46), (hem, 0.68), (-hem, 0.68)], look.below)
    else:
        canvas.shape(
            [(-hip, 0.46), (hip, 0.46), (hip * 0.95, 0.56), (-hip * 0.95, 0.56)], look.below
        )
    shoulder, waist = half(0.118, 0.07), half(0.092, 0.07)
    outline = [
        (-0.05, 0.16), (0.05, 0.16), (shoulder, 0.19), (shoulder * 0.98, 0.3), (waist, 0.42),
        (hip * 1.03, 0.51), (-hip * 1.03, 0.51), (-waist, 0.42), (-shoulder * 0.98, 0.3),
        (-shoulder, 0.19),
    ]  # fmt: skip
    canvas.shirt(outline, look, sight)


def _head(canvas: "_Canvas", look: Look, side: float, front: float) -> None:
    canvas.limb([(0.0, 0.12), (0.0, 0.17)], (0.03, 0.034), look.skin)
    if look.hair_style == "long":
        canvas.limb([(-0.02 * side, 0.07), (-0.025 * side, 0.2)], (0.05, 0.045), look.hair)
    canvas.ellipse((0.0, 0.075), (0.046, 0.062), look.skin)
    if front < 0.25:  # The back of the head, and most of it from the side.
        canvas.ellipse((-0.014 * side, 0.065), (0.047, 0.058), look.hair)
        if front > -0.5:
            canvas.ellipse((0.03 * side, 0.085), (0.022, 0.04), look.skin)
    top = look.bag if look.hair_style == "cap" else look.hair
    canvas.ellipse((-0.008 * side, 0.04), (0.05, 0.036), top)
    if look.hair_style == "cap" and front > -0.3:
        canvas.limb([(0.0, 0.052), (0.055 * side, 0.054)], (0.02, 0.012), top)
    if look.hair_style == "bun":
        canvas.ellipse((-0.045 * side, 0.015), (0.026, 0.024), look.hair)
    if look.hair_style == "long" and front < 0:
        canvas.limb([(-0.02 * side, 0.07), (-0.025 * side, 0.19)], (0.05, 0.042), look.hair)


def _bag(canvas: "_Canvas", look: Look, side: float, front: float) -> None:
    width = 0.1 * look.build
    if look.bag_kind == "backpack":
        if front < 0.3:
            middle = -0.1 * look.build * side
            deep = float(np.hypot(0.085 * front, 0.05 * side))
            outline = [
                (middle - deep, 0.2),
                (middle + deep, 0.2),
                (middle + deep, 0.42),
                (middle - deep, 0.42),
            ]
            canvas.shape(outline, look.bag)
            dark = _scaled(look.bag, 0.7)
            canvas.limb(
                [(middle - deep * 0.6, 0.34), (middle + deep * 0.6, 0.34)], (0.008,) * 2, dark
            )
        if front > -0.3:
            for hand in (1, -1):
                x = hand * 0.065 * front * look.build
                canvas.limb([(x, 0.18), (x * 1.1, 0.36)], (0.011, 0.011), look.bag)
    if look.bag_kind == "shoulder":
        # The strap runs from the left shoulder to the bag at the right hip.
        x = -width * front
        canvas.limb([(-0.8 * x, 0.18), (x, 0.45)], (0.011, 0.011), look.bag)
        if front > -0.4 or abs(side) < 0.9:
            canvas.shape(
                [(x - 0.05, 0.45), (x + 0.05, 0.45), (x + 0.05, 0.56), (x - 0.05, 0.56)], look.bag
            )
    if look.bag_kind == "hand":
        x = (width + 0.045) * front
        canvas.limb([(x, 0.48), (x, 0.54)], (0.008, 0.008), look.bag)
        canvas.shape(
            [(x - 0.055, 0.54), (x + 0.055, 0.54), (x + 0.048, 0.65), (x - 0.048, 0.65)], look.bag
        )


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


_ANGLES = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


class _Canvas:
    """A transparent picture on which body coordinates are painted."""

    def __init__(self, height: int) -> None:
        self.scale = height / 1.02
        width = round(0.62 * height)
        self.colour = np.zeros((height, width, 3), dtype=np.uint8)
        self.coverage = np.zeros((height, width), dtype=np.uint8)
        self.origin = np.array([width / 2, 0.01 * height])

    def shape(self, outline: list[tuple[float, float]], colour: Colour) -> None:
        """A polygon with a dark rim."""
        points = self._pixels(outline)
        cv2.fillPoly(self.coverage, [points], 255)
        cv2.fillPoly(self.colour, [points], colour)
        cv2.polylines(self.colour, [points], True, _scaled(colour, 0.75), 1)

    def limb(
        self, points: list[tuple[float, float]], thickness: tuple[float, float], colour: Colour
    ) -> None:
        """A tapering tube, darker at its rim."""
        for factor, brightness in ((1.0, 0.8), (0.7, 1.0)):
            rims = [
                np.array(point) + factor * radius * _CIRCLE
                for point, radius in zip(points, thickness, strict=True)
            ]
            hull = cv2.convexHull(self._pixels(np.concatenate(rims)))
            cv2.fillConvexPoly(self.colour, hull, _scaled(colour, brightness))
            cv2.fillConvexPoly(self.coverage, hull, 255)

    def ellipse(
        self, center: tuple[float, float], axes: tuple[float, float], colour: Colour
    ) -> None:
        """A filled ellipse."""
        pixel = self._pixels([center])[0].tolist()
        size = [max(1, round(axis * self.scale)) for axis in axes]
        cv2.ellipse(self.colour, pixel, size, 0, 0, 360, colour, -1)
        cv2.ellipse(self.coverage, pixel, size, 0, 0, 360, 255, -1)

    def shirt(self, outline: list[tuple[float, float]], look: Look, sight: Sight) -> None:
        """The trunk's surface: pattern and shade of each pixel by where on the body it lies."""
        points = self._pixels(outline)
        mask = np.zeros_like(self.coverage)
        cv2.fillPoly(mask, [points], 255)
        rows, columns = np.nonzero(mask)
        x = (columns - self.origin[0]) / self.scale
        y = (rows - self.origin[1]) / self.scale
        reach = max(abs(point[0]) for point in outline)
        seen = np.arcsin(np.clip(x / reach, -1, 1))  # Around the body, from where the camera is.
        down = (y - 0.16) / 0.35
        chosen = _pattern(look, seen - sight.turn, down)
        colours = np.where(chosen[:, None], look.second, look.shirt).astype(np.float64)
        shade = 0.72 + 0.32 * np.clip(np.cos(seen - sight.light), 0, 1)
        self.colour[rows, columns] = np.clip(colours * shade[:, None], 0, 255)
        self.coverage[rows, columns] = 255

    def _pixels(self, points: list[tuple[float, float]] | Floats) -> NDArray[np.int32]:
        pixels: NDArray[np.int32] = np.rint(np.asarray(points) * self.scale + self.origin).astype(
            np.int32
        )
        return pixels


def _pattern(look: Look, around: Floats, down: Floats) -> NDArray[np.bool_]:
    """Where a shirt shows its second colour.

    Args:
        look: names the pattern.
        around: (N,) angle about the body, 0 at the breast.
        down: (N,) 0 at the collar, 1 at the hem.
    """
    fine = look.fineness
    wrapped = (around + np.pi) % (2 * np.pi) - np.pi
    rows, columns = down * 2.2 * fine, wrapped / (2 * np.pi) * 5
    match look.pattern:
        case "stripes":
            return rows % 1 < 0.5
        case "columns":
            return columns % 1 < 0.5
        case "checks":
            return (rows * 0.8 % 1 < 0.5) ^ (columns * 0.8 % 1 < 0.5)
        case "dots":
            return ((rows % 1 - 0.5) ** 2 + ((columns * 0.9) % 1 - 0.5) ** 2) < 0.09
        case "halves":
            return down > 0.5
        case "sash":
            return np.abs(down - 0.5 - 0.35 * np.sin(wrapped)) < 0.14
        case "print":
            both = np.minimum(np.abs(wrapped), np.pi - np.abs(wrapped))
            return (both < 0.6) & (np.abs(down - 0.38) < 0.2)
        case _:
            return np.zeros(len(down), dtype=bool)
