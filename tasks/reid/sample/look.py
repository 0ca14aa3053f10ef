"""What the people of the sample data wear.

Looks come in families that share every colour, so that colour alone tells families apart and not
people: within a family they differ in the pattern of the shirt, its sleeves, what is worn below,
hair, bag and build.
"""

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (240, 206, 180), (222, 176, 142), (192, 140, 104), (150, 102, 72), (104, 70, 50),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (36, 28, 26), (74, 48, 32), (128, 88, 52), (204, 170, 108), (150, 148, 146),
)  # fmt: skip
LIGHT: tuple[Colour, ...] = (
    (240, 236, 228), (236, 190, 66), (226, 146, 176), (122, 192, 212), (240, 146, 84),
    (176, 180, 184),
)  # fmt: skip
DARK: tuple[Colour, ...] = (
    (44, 46, 54), (40, 78, 160), (38, 104, 66), (172, 42, 42), (96, 58, 128), (98, 62, 44),
)  # fmt: skip

PATTERNS = ("plain", "stripes", "columns", "checks", "dots", "halves", "sash", "print")
BAGS = ("none", "backpack", "shoulder", "hand")
BELOW = ("trousers", "shorts", "skirt")
HAIR_STYLES = ("short", "long", "cap", "bun")


@dataclass(frozen=True)
class Look:
    """What identifies a person."""

    skin: Colour
    hair: Colour
    shirt: Colour
    second: Colour
    """Of the shirt's pattern."""
    below: Colour
    shoes: Colour
    bag: Colour
    pattern: str
    fineness: float
    """Of the pattern, around 1."""
    long_sleeves: bool
    worn_below: str
    hair_style: str
    bag_kind: str
    build: float
    """Thickness of the body around 1."""


def family(size: int, generator: np.random.Generator) -> list[Look]:
    """People of the same colours, each with a shape and pattern of its own."""
    # A pattern of a light and a dark colour survives a coarse camera.
    light = [LIGHT[index] for index in generator.permutation(len(LIGHT))]
    dark = [DARK[index] for index in generator.permutation(len(DARK))]
    shirt, second = (light[0], dark[0]) if generator.random() < 0.5 else (dark[0], light[0])
    below, bag = (dark[1], light[1]) if generator.random() < 0.5 else (light[1], dark[1])
    common = Look(
        skin=_near(SKINS[generator.integers(len(SKINS))], generator),
        hair=_near(HAIRS[generator.integers(len(HAIRS))], generator),
        shirt=_near(shirt, generator),
        second=_near(second, generator),
        below=_near(below, generator),
        shoes=_near(((40, 38, 38), (224, 222, 218))[generator.integers(2)], generator),
        bag=_near(bag, generator),
        pattern="plain", fineness=1.0, long_sleeves=True, worn_below="trousers",
        hair_style="short", bag_kind="none", build=1.0,
    )  # fmt: skip
    shapes = zip(
        *(_different(kinds, size, generator) for kinds in (PATTERNS, BAGS, HAIR_STYLES, BELOW)),
        strict=True,
    )
    return [
        replace(
            common,
            pattern=pattern,
            fineness=float(generator.uniform(0.85, 1.25)),
            long_sleeves=bool(generator.random() < 0.5),
            worn_below=below_kind,
            hair_style=hair,
            bag_kind=bag,
            build=float(generator.uniform(0.8, 1.3)),
        )
        for pattern, bag, hair, below_kind in shapes
    ]


def _different(kinds: tuple[str, ...], count: int, generator: np.random.Generator) -> list[str]:
    """So many kinds in random order, the same one again only when all have been taken."""
    order = generator.permutation(len(kinds)).tolist()
    return [kinds[order[place % len(kinds)]] for place in range(count)]


def _near(colour: Colour, generator: np.random.Generator) -> Colour:
    red, green, blue = np.clip(np.array(colour) + generator.integers(-12, 13, 3), 6, 249).tolist()
    return red, green, blue
