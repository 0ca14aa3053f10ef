"""Random people for the sample data: how they stand and what they wear.

Body coordinates: x to the person's left, y down, z to the front, in units of the person's height.
Seen from the front, the person's left is on the viewer's right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.pose.skeleton import COCO

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (241, 205, 178),
    (226, 180, 145),
    (198, 146, 108),
    (158, 108, 76),
    (112, 74, 52),
)
HAIRS: tuple[Colour, ...] = (
    (38, 28, 24),
    (72, 46, 30),
    (124, 84, 48),
    (196, 160, 98),
    (150, 72, 40),
)
SHIRTS: tuple[Colour, ...] = (
    (206, 62, 58),
    (46, 104, 184),
    (240, 236, 226),
    (238, 190, 64),
    (62, 140, 92),
    (122, 82, 156),
    (52, 56, 66),
    (232, 130, 70),
    (96, 178, 196),
    (222, 128, 160),
)
TROUSERS: tuple[Colour, ...] = (
    (52, 68, 106),
    (42, 44, 50),
    (150, 128, 96),
    (98, 106, 112),
    (112, 72, 54),
    (196, 188, 170),
)
SHOES: tuple[Colour, ...] = ((36, 34, 34), (226, 226, 222), (150, 52, 48), (94, 66, 46))


FACE = np.array(
    [
        [0, 0.18, 1.05],
        [0.38, -0.1, 0.9],
        [-0.38, -0.1, 0.9],
        [0.98, 0.02, -0.05],
        [-0.98, 0.02, -0.05],
    ]
)
"""Directions of nose, eyes and ears from the middle of a head, in its radii."""


@dataclass(frozen=True)
class Look:
    """What a person looks like."""

    skin: Colour
    hair: Colour
    shirt: Colour
    stripes: Colour
    trousers: Colour
    shoes: Colour
    striped: bool
    sleeves: int
    """0 none, 1 to the elbow, 2 to the wrist."""
    shorts: bool
    skirt: bool
    long_hair: bool
    build: float
    """Thickness of the limbs around 1."""


@dataclass(frozen=True)
class Body:
    """A posed person: points in space in units of the height, seen along z, origin at the hips."""

    joints: Floats
    """(17, 3)"""
    hands: Floats
    """(2, 3) left and right."""
    toes: Floats
    """(2, 3)"""
    neck: Floats
    head: Floats
    """(3,) middle of the head."""
    turn: Floats
    """(3, 3) rotation of the head."""


def dress(generator: np.random.Generator) -> Look:
    """A random look."""

    def pick(colours: tuple[Colour, ...]) -> Colour:
        colour = np.array(colours[generator.integers(len(colours))])
        red, green, blue = np.clip(colour + generator.integers(-14, 15, 3), 8, 247).tolist()
        return red, green, blue

    return Look(
        skin=pick(SKINS),
        hair=pick(HAIRS),
        shirt=pick(SHIRTS),
        stripes=pick(SHIRTS),
        trousers=pick(TROUSERS),
        shoes=pick(SHOES),
        striped=bool(generator.random() < 0.3),
        sleeves=int(generator.choice(3, p=[0.1, 0.55, 0.35])),
        shorts=bool(generator.random() < 0.3),
        skirt=bool(generator.random() < 0.15),
        long_hair=bool(generator.random() < 0.35),
        build=float(generator.uniform(1.35, 1.65)),
    )


def pose(generator: np.random.Generator) -> Body:
    """A random person on its feet: seen from the front, the back or half from the side."""
    facing = generator.choice([0.0, 180.0], p=[0.96, 0.04]) + generator.normal(0, 12)
    stand = _rotation("z", generator.normal(0, 4)) @ _rotation("y", facing)
    bend = _rotation("z", generator.normal(0, 6)) @ _rotation("x", -abs(generator.normal(0, 7)))
    upper = stand @ bend
    long = generator.uniform(0.9, 1.1, 5)
    joints = np.zeros((COCO.joints, 3))
    hands, toes = np.zeros((2, 3)), np.zeros((2, 3))
    neck = upper @ [0, -0.335 * long[0], 0]
    for row, side in enumerate((1, -1)):
        shoulder = upper @ [side * 0.112 * long[1], -0.305 * long[0], 0]
        elbow, wrist, hand = _arm(shoulder, upper, side, long[2], generator)
        hip = stand @ [side * 0.066 * long[1], 0, 0]
        knee, ankle, toe = _leg(hip, stand, side, long[3], generator)
        joints[[5 + row, 7 + row, 9 + row]] = shoulder, elbow, wrist
        joints[[11 + row, 13 + row, 15 + row]] = hip, knee, ankle
        hands[row], toes[row] = hand, toe
    turn = upper @ _rotation("y", generator.normal(0, 10)) @ _rotation("z", generator.normal(0, 5))
    head = neck + turn @ [0, -0.1, 0.01]
    size = np.array([0.056, 0.072, 0.06])
    for joint, direction in enumerate(FACE):
        joints[joint] = head + turn @ (size * direction)
    return Body(joints, hands, toes, neck, head, turn)


def _rotation(axis: str, degrees: float) -> Floats:
    """Rotation (3, 3) about an axis of the body."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = (
        cosine,
        -sine,
        sine,
        cosine,
    )
    return matrix


def _arm(
    shoulder: Floats, body: Floats, side: int, length: float, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Elbow, wrist and middle of the hand."""
    # Hanging, spread or raised.
    low, high = ((4, 28), (30, 95), (95, 165))[generator.choice(3, p=[0.7, 0.24, 0.06])]
    abduction, flexion = generator.uniform(low, high), generator.normal(8, 18)
    bend, twist = generator.uniform(3, 65), generator.uniform(-60, 40)
    above = body @ _rotation("x", flexion) @ _rotation("z", -side * abduction)
    below = above @ _rotation("y", side * twist) @ _rotation("x", bend)
    elbow = shoulder + above @ [0, 0.168 * length, 0]
    wrist = elbow + below @ [0, 0.142 * length, 0]
    return elbow, wrist, wrist + below @ [0, 0.034, 0]


def _leg(
    hip: Floats, body: Floats, side: int, length: float, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Knee, ankle and toes."""
    flexion, bend = generator.normal(8, 16), abs(generator.normal(0, 18))
    if generator.random() < 0.08:
        # A lifted knee.
        flexion, bend = generator.uniform(40, 80), generator.uniform(50, 100)
    above = body @ _rotation("x", flexion) @ _rotation("z", -side * generator.uniform(0, 16))
    below = above @ _rotation("x", -bend)
    knee = hip + above @ [0, 0.238 * length, 0]
    ankle = knee + below @ [0, 0.225 * length, 0]
    return knee, ankle, ankle + below @ [side * 0.012, 0.03, 0.07]
