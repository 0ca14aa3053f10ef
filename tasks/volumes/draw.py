"""Slices with the outlines of organs and tumours: a sheet, and an animation through the volume."""

import colorsys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.commands import lettering, plot
from common.errors import UserError
from common.reading.image import Picture
from tasks.volumes.config import Config
from tasks.volumes.nifti import RESEARCH
from tasks.volumes.transforms import shown
from tasks.volumes.volume import Labels, Volume

COLOURS = np.array([
    (0, 0, 0), (66, 180, 255), (255, 176, 32), (255, 64, 96), (98, 214, 96), (196, 128, 255),
    (255, 240, 90), (0, 210, 190), (255, 140, 200), (170, 150, 110), (120, 130, 255),
], np.uint8)  # fmt: skip
"""(11, 3) of the first classes."""
_GOLDEN = 0.618034
"""Of a turn: hues that far apart keep clear of each other, however many there are."""
_SATURATIONS = (0.85, 0.4, 0.6)

SLICES, COLUMNS = 12, 4
"""On a sheet."""
MOST_FRAMES = 120
_CELL = (240, 240)
_STRIP = 20
_LETTERS = 0.4
_LONGEST, _SHORTEST = 384, 192
"""Sides of an animation in pixels."""
FRAME = 80
"""Milliseconds of each frame."""


def colour_of(label: int) -> tuple[int, int, int]:
    """Red, green and blue of a class."""
    if label < len(COLOURS):
        red, green, blue = COLOURS[label].tolist()
    else:
        exact = colorsys.hsv_to_rgb(label * _GOLDEN % 1, _SATURATIONS[label % 3], 1)
        red, green, blue = (round(255 * part) for part in exact)
    return red, green, blue


def outlined(volume: Volume, labels: Labels, index: int, config: Config) -> Picture:
    """A slice as radiologists see it (h, w, 3), with outlines; pixels are square.

    Args:
        volume: with the slice.
        labels: (Z, Y, X).
        index: of the slice.
        config: for the first window.
    """
    grey = shown(volume.values[index : index + 1], config.data.windows[:1])[0]
    height, width = _size(volume)
    picture = cv2.cvtColor(cv2.resize(grey, (width, height)), cv2.COLOR_GRAY2RGB)
    for label in np.unique(labels[index])[::-1].tolist():
        if label:
            mask = (labels[index] == label).astype(np.uint8)
            larger = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
            lines, _ = cv2.findContours(larger, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, colour_of(label), 1)
    return np.asarray(picture, np.uint8)


def _size(volume: Volume) -> tuple[int, int]:
    """Height and width of a picture of a slice, in the body's proportions."""
    _, high, wide = (n * s for n, s in zip(volume.shape, volume.spacing, strict=True))
    side = min(max(*volume.shape[1:], _SHORTEST), _LONGEST)
    scale = side / max(high, wide)
    return max(1, round(high * scale)), max(1, round(wide * scale))


def chosen(labels: Labels, count: int) -> list[int]:
    """Slices that show most: evenly spread over those with labels, or over all without any."""
    there = np.flatnonzero(labels.any(axis=(1, 2)))
    places = there if there.size else np.arange(len(labels))
    return [int(places[place]) for place in plot.spread(len(places), count)]


def sheet(volume: Volume, labels: Labels, config: Config) -> Picture:
    """Slices with outlines as one picture (H, W, 3), with the names of the classes below."""
    places = chosen(labels, SLICES)
    cells = [outlined(volume, labels, index, config) for index in places]
    titles = [f"slice {index + 1} of {len(labels)}" for index in places]
    whole = plot.grid(cells, COLUMNS, titles, _CELL)
    return np.concatenate([whole, strip(config.data.classes, whole.shape[1])])


def strip(classes: Sequence[str], width: int) -> Picture:
    """What the colours mean, and what this is not made for (h, width, 3)."""
    rows: list[list[tuple[str, tuple[int, int, int]]]] = [[]]
    left = 6
    entries = [(name, colour_of(label)) for label, name in enumerate(classes) if label]
    for text, colour in [*entries, (RESEARCH, (200, 30, 30))]:
        needed = lettering.extent(text, _LETTERS).width + 16
        if rows[-1] and left + needed > width:
            rows.append([])
            left = 6
        rows[-1].append((text, colour))
        left += needed
    found = np.full((_STRIP * len(rows), width, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        left = 6
        for text, colour in row:
            dark = tuple(int(part * 0.75) for part in colour)
            base = number * _STRIP + 14
            lettering.write(found, text, left, base, _LETTERS, (dark[0], dark[1], dark[2]))
            left += lettering.extent(text, _LETTERS).width + 16
    return found


def frames(volume: Volume, labels: Labels, config: Config) -> Iterator[Picture]:
    """Slices with outlines and the names of the classes below, from the feet to the head.

    All have one size, of even sides as films need, and are wide enough for what stands below.
    """
    texts = (*config.data.classes, RESEARCH)
    least = max(lettering.extent(text, _LETTERS).width for text in texts) + 12
    height, width = _size(volume)
    wide = max(width, least)
    wide, left = wide + wide % 2, (max(width, least) - width) // 2
    below = strip(config.data.classes, wide)
    for index in plot.spread(len(labels), MOST_FRAMES):
        canvas = np.full((height + height % 2, wide, 3), 255, np.uint8)
        canvas[:height, left : left + width] = outlined(volume, labels, index, config)
        yield np.concatenate([canvas, below])


def write_gif(path: Path, pictures: Iterable[Picture]) -> None:
    """Write an animation of pictures of one size.

    Raises:
        UserError: it cannot be written.
    """
    first, *others = [Image.fromarray(one).quantize(64) for one in pictures]
    try:
        first.save(path, format="GIF", save_all=True, append_images=others, duration=FRAME, loop=0)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def compared(
    volume: Volume, truth: Labels, predicted: Labels, config: Config
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """The slice with most of the truth's last class that occurs: with true and found outlines."""
    numbers = np.unique(truth)
    index = (
        int((truth == numbers[-1]).sum(axis=(1, 2)).argmax()) if numbers[-1] else len(truth) // 2
    )
    return (
        outlined(volume, truth, index, config),
        outlined(volume, predicted, index, config),
        index,
    )
