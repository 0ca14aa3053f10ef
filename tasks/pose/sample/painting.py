"""Painting of the sample data's people, part by part from far to near."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.pose.sample.figure import FACE, Body, Colour, Look
from tasks.pose.skeleton import COCO

Floats = NDArray[np.float64]

SUPERSAMPLING = 2
"""People are painted this much larger and averaged down, which smooths their edges."""

_NECK, _HEAD, _HAIR, _TORSO, _SKIRT = 1, 2, 3, 4, 5
_UPPER_ARM, _FOREARM, _HAND, _THIGH, _SHIN, _SHOE = 6, 7, 8, 9, 10, 11
_PELVIS = 18
_RIGHT = 6
"""Added to a limb's part on the person's right."""
_SHIRT = (_TORSO, _UPPER_ARM, _FOREARM, _UPPER_ARM + _RIGHT, _FOREARM + _RIGHT)

_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
# From the dark rim to the lit middle: size, shift towards the light in radii, brightness.
_SHADES = ((1.0, 0.0, 0.68), (0.84, 0.08, 0.87), (0.66, 0.16, 0.96), (0.42, 0.28, 1.04))
_LIGHT = np.array([-0.7, -0.7])


@dataclass(frozen=True)
class Painting:
    """A painted person; its canvas' corner lies at `corner` of the picture."""

    colour: NDArray[np.uint8]
    """(H, W, 3), already multiplied by the coverage."""
    coverage: NDArray[np.uint8]
    """(H, W) 0..255"""
    corner: tuple[int, int]
    """x and y."""
    joints: Floats
    """(17, 2) in the picture."""
    visible: NDArray[np.int64]
    """(17,) 0 not to be guessed, 1 hidden by the person itself, 2 visible."""


@dataclass(frozen=True)
class Part:
    """The hull of circles in one colour."""

    number: int
    circles: Floats
    """(K, 3) x, y, radius, in units of the height around the hips."""
    colour: Colour


@dataclass(frozen=True)
class Limb:
    """Parts that hang together, from the far to the near one."""

    parts: tuple[Part, ...]
    depth: float
    """Larger is nearer, and hides what is smaller."""


def paint(
    body: Body, look: Look, place: Floats, height: float, fabric: NDArray[np.uint8]
) -> Painting:
    """Paint a person of this height in pixels with the middle of the hips at place (2,).

    `fabric` (H, W) is a grey texture, larger than the person, that gives the clothes a grain.
    """
    scale = height * SUPERSAMPLING
    points = np.concatenate([body.joints, body.hands, body.toes, body.head[None]])[:, :2] * height
    low = np.floor(place + points.min(axis=0) - 0.12 * height).astype(int)
    high = np.ceil(place + points.max(axis=0) + 0.12 * height).astype(int)
    origin = (place - low) * SUPERSAMPLING
    width_height = (high - low) * SUPERSAMPLING
    colour = np.zeros((width_height[1], width_height[0], 3), dtype=np.uint8)
    parts = np.zeros(colour.shape[:2], dtype=np.uint8)
    for limb in sorted(_limbs(body, look), key=lambda limb: limb.depth):
        _fill(colour, parts, limb, origin, scale)
        if limb.parts[-1].number == _HEAD:
            _face(colour, parts, body, look, origin, scale)
    if look.striped:
        _stripes(colour, parts, look, period=max(6, int(0.045 * scale)))
    grain = cv2.cvtColor(fabric[: colour.shape[0], : colour.shape[1]], cv2.COLOR_GRAY2RGB)
    solid = cv2.inRange(parts, 1, 255)
    # Eyes and hair may bulge out of a head by a pixel.
    colour = cv2.multiply(cv2.copyTo(colour, solid), grain, scale=1 / 128)
    joints = body.joints[:, :2] * scale + origin
    visible = _visible(body, parts, joints)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    return Painting(
        colour=cv2.resize(colour, size, interpolation=cv2.INTER_AREA),
        coverage=cv2.resize(solid, size, interpolation=cv2.INTER_AREA),
        corner=(int(low[0]), int(low[1])),
        # The centre of a pixel of the picture lies between the canvas' pixels.
        joints=(joints - (SUPERSAMPLING - 1) / 2) / SUPERSAMPLING + low,
        visible=visible,
    )


def _limbs(body: Body, look: Look) -> list[Limb]:
    """Everything that is painted of a person."""
    sides = [side for row in (0, 1) for side in (_arm(body, look, row), _leg(body, look, row))]
    return [*_trunk(body, look), *sides]


def _bone(number: int, colour: Colour, start: Floats, end: Floats, radii: Sequence[float]) -> Part:
    circles = np.array([[*start[:2], radii[0]], [*end[:2], radii[1]]])
    return Part(number, circles, colour)


def _arm(body: Body, look: Look, row: int) -> Limb:
    """Hand, forearm and upper arm: row 0 is the left one."""
    shoulder, elbow, wrist = body.joints[[5 + row, 7 + row, 9 + row]]
    upper = look.shirt if look.sleeves > 0 else look.skin
    lower = look.shirt if look.sleeves > 1 else look.skin
    first, second, third = np.array([0.036, 0.027, 0.019]) * look.build
    other = _RIGHT * row
    return Limb(
        (
            _bone(_HAND + other, look.skin, wrist, body.hands[row], (0.018, 0.02)),
            _bone(_FOREARM + other, lower, elbow, wrist, (second, third)),
            _bone(_UPPER_ARM + other, upper, shoulder, elbow, (first, second)),
        ),
        # An arm beside the body lies over it.
        depth=float(shoulder[2] + 2 * elbow[2] + 2 * wrist[2]) / 5 + 0.03,
    )


def _leg(body: Body, look: Look, row: int) -> Limb:
    """Shoe, shin and thigh: row 0 is the left one."""
    hip, knee, ankle = body.joints[[11 + row, 13 + row, 15 + row]]
    upper = look.skin if look.skirt else look.trousers
    lower = look.skin if look.shorts or look.skirt else look.trousers
    first, second, third = np.array([0.056, 0.038, 0.025]) * look.build
    other = _RIGHT * row
    return Limb(
        (
            _bone(_SHOE + other, look.shoes, ankle, body.toes[row], (0.025, 0.021)),
            _bone(_SHIN + other, lower, knee, ankle, (second, third)),
            _bone(_THIGH + other, upper, hip, knee, (first, second)),
        ),
        # The shirt hangs over the trousers, except over a lifted knee.
        depth=float(hip[2] + 2 * knee[2] + ankle[2]) / 4 - 0.03,
    )


def _trunk(body: Body, look: Look) -> list[Limb]:
    """Pelvis, torso, skirt, neck, head and hair."""
    shoulders, hips = body.joints[5:7], body.joints[11:13]
    chest, waist = shoulders.mean(axis=0), hips.mean(axis=0)
    # The upper arms round the shoulders off: the torso ends inside of them.
    inner = chest + 0.8 * (shoulders - chest)
    belt = hips + 0.12 * (chest - waist)
    torso = [*((*point[:2], 0.044) for point in inner)]
    torso += [(*point[:2], 0.054 * look.build) for point in belt]
    neck = _bone(_NECK, look.skin, 0.8 * chest + 0.2 * body.neck, body.head, (0.034, 0.03))
    rise = np.array([0, 0.012, 0])
    head = _bone(_HEAD, look.skin, body.head - rise, body.head + rise, (0.056, 0.056))
    limbs = [
        Limb((Part(_TORSO, np.array(torso), look.shirt),), 0.0),
        Limb((neck,), 0.001),
        Limb((head,), 0.05),
    ]
    if look.skirt:
        hem = body.joints[13:15] * 0.6 + hips * 0.4
        skirt = [(*point[:2], 0.06 * look.build) for point in (*hips, *hem)]
        limbs.append(Limb((Part(_SKIRT, np.array(skirt), look.trousers),), -0.001))
    else:
        pelvis = _bone(_PELVIS, look.trousers, hips[0], hips[1], [0.056 * look.build] * 2)
        limbs.append(Limb((pelvis,), -0.2))
    if look.long_hair:
        ends = body.head + (chest - body.head) * 0.75
        hair = _bone(_HAIR, look.hair, body.head, ends, (0.066, 0.06))
        limbs.append(Limb((hair,), -0.02 if body.turn[2, 2] > 0 else 0.06))
    return limbs


def _fill(
    colour: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    limb: Limb,
    origin: Floats,
    scale: float,
) -> None:
    """Paint the hulls of a limb with a dark rim and a lit middle, without a rim between them."""
    circles = np.stack([part.circles for part in limb.parts])
    for size, shift, brightness in _SHADES:
        centers = circles[..., :2] + shift * circles[..., 2:] * _LIGHT
        if limb.parts[0].number in (_TORSO, _SKIRT):
            # The shades of a trunk narrow towards its axis, a limb's circles lie on it already.
            middle = centers[..., 0].mean()
            centers[..., 0] = middle + (centers[..., 0] - middle) * size
        outlines = centers[..., None, :] + size * circles[..., None, 2:] * _CIRCLE
        outlines = np.rint(outlines * scale + origin).astype(np.int32)
        for part, outline in zip(limb.parts, outlines, strict=True):
            hull = cv2.convexHull(outline.reshape(-1, 2))
            shade = [min(max(channel * brightness, 1.0), 255.0) for channel in part.colour]
            cv2.fillConvexPoly(colour, hull, shade)
            if size == 1.0:
                cv2.fillConvexPoly(parts, hull, part.number)


def _face(
    colour: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    body: Body,
    look: Look,
    origin: Floats,
    scale: float,
) -> None:
    """Hair, ears, eyes, nose and mouth on the head, as far as the head's turn shows them."""
    # Directions are stretched to the head's ellipsoid.
    offsets = (np.concatenate([_FEATURES, _SCALP]) * (0.056, 0.07, 0.058)) @ body.turn.T
    places = np.round((body.head + offsets)[:, :2] * scale + origin).astype(int).tolist()
    depths = offsets[:, 2]

    def disc(index: int, radius: float, paint: Colour, least_depth: float) -> None:
        if depths[index] > least_depth:
            size = max(1, round(radius * scale))
            cv2.circle(colour, places[index], size, paint, -1, cv2.LINE_AA)

    red, green, blue = (round(channel * 0.78) for channel in look.skin)
    shadow: Colour = (red, green, blue)
    for index in range(len(_FEATURES), len(places)):
        if depths[index] > -0.03:
            for canvas, value in ((colour, look.hair), (parts, _HEAD)):
                cv2.circle(canvas, places[index], round(0.026 * scale), value, -1)
    for ear in (3, 4):
        disc(ear, 0.014, shadow, -0.04)
        cv2.circle(parts, places[ear], max(1, round(0.014 * scale)), _HEAD, -1)
    for eye in (1, 2):
        disc(eye, 0.0115, (246, 244, 240), 0.006)
        disc(eye, 0.0075, (46, 34, 32), 0.006)
    disc(0, 0.0095, shadow, 0.006)
    if depths[5:7].min() > 0.006:
        thickness = max(1, round(0.009 * scale))
        cv2.line(colour, places[5], places[6], (168, 74, 74), thickness, cv2.LINE_AA)


# Directions from the middle of the head: nose, eyes, ears, corners of the mouth.
_FEATURES = np.concatenate([FACE, [[0.24, 0.55, 0.82], [-0.24, 0.55, 0.82]]])


def _scalp() -> Floats:
    """Directions (K, 3) of the part of a head that hair grows on."""
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 6)] * 3), axis=-1).reshape(-1, 3)
    points = points[np.abs(np.linalg.norm(points, axis=1) - 1) < 0.2]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    _, y, z = points.T
    grown: Floats = points[(y < -0.6) | ((z < -0.1) & (y < 0.75))]
    return grown * 0.85


_SCALP = _scalp()


def _stripes(colour: NDArray[np.uint8], parts: NDArray[np.uint8], look: Look, period: int) -> None:
    """Stripes over the shirt, in the brightness that is there."""
    sleeves = _SHIRT[: 1 + 4 * (look.sleeves > 0)]
    if look.sleeves == 1:
        sleeves = (_TORSO, _UPPER_ARM, _UPPER_ARM + _RIGHT)
    rows = np.arange(len(parts)) // (period // 2) % 2 == 1
    where = np.isin(parts, sleeves) & rows[:, None]
    ratio = np.array(look.stripes) / np.array(look.shirt)
    colour[where] = np.clip(colour[where] * ratio, 1, 255).astype(np.uint8)


# Parts at whose pixels a joint of the left side counts as seen.
_SEEN_ON = {
    0: (_HEAD,),
    1: (_HEAD,),
    3: (_HEAD, _HAIR),
    5: (_UPPER_ARM, _TORSO),
    7: (_UPPER_ARM, _FOREARM),
    9: (_FOREARM, _HAND),
    11: (_TORSO, _THIGH, _SKIRT, _PELVIS),
    13: (_THIGH, _SHIN),
    15: (_SHIN, _SHOE),
}


def _visible(body: Body, parts: NDArray[np.uint8], joints: Floats) -> NDArray[np.int64]:
    """(17,) visibility flags before anybody else stands in front."""
    flags = np.ones(COCO.joints, dtype=np.int64)
    for joint in range(COCO.joints):
        left = joint if joint == 0 else joint - (joint + 1) % 2
        right = joint != left
        x, y = np.round(joints[joint]).astype(int)
        own = {part + _RIGHT * right * (_UPPER_ARM <= part <= _SHOE) for part in _SEEN_ON[left]}
        flags[joint] = 2 if int(parts[y, x]) in own else 1
        if joint < 5:
            facing = (body.joints[joint] - body.head)[2]
            if facing < 0.004:
                # An ear is guessed from the head's side; eyes and nose of a turned head are not.
                flags[joint] = 1 if joint > 2 or facing > -0.02 else 0
            if joint > 2 and facing > -0.035:
                flags[joint] = max(flags[joint], 2 if int(parts[y, x]) in (_HEAD, _HAIR, 0) else 1)
    return flags
