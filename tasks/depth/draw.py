"""Depth in colours, with a scale in metres."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from common.commands import lettering
from common.reading.image import Picture

STRIP = 24
"""Height in pixels of the scale below a map."""
HOLE = (60, 60, 60)
"""Colour of pixels without a measurement."""

_BAR = 7
_LETTERS = 0.35
_APART = 50
"""Pixels between the numbers of a scale at least."""
_STEPS = (10.0, 5.0, 2.0)

Span = tuple[float, float]
"""Depth of the two ends of the colours."""


def span_of(depth: NDArray[np.floating]) -> Span:
    """From the nearest to the farthest of a map (H, W) but for a hundredth at either end."""
    seen = depth[(depth > 0) & np.isfinite(depth)]
    if not seen.size:
        return 0.0, 1.0
    least, greatest = (float(one) for one in np.quantile(seen, (0.01, 0.99)))
    return (least, greatest) if greatest > least else (least, least + 1e-3)


def coloured(depth: NDArray[np.floating], metric: bool = True, span: Span | None = None) -> Picture:
    """A map (H, W) as a picture (H + STRIP, W, 3): near is red, far is blue, with a scale below.

    Args:
        depth: metres, 0 where nothing was measured; or inverse depth if not `metric`.
        metric: what it is; without metres the scale has no numbers.
        span: depth of the colours' ends; none: the map's own.
    """
    ends = span_of(depth) if span is None else span
    painted = paint(depth, metric, ends)
    return np.concatenate([painted, scale(painted.shape[1], metric, ends)])


def paint(depth: NDArray[np.floating], metric: bool, ends: Span) -> Picture:
    """The colours (H, W, 3) alone."""
    share = (depth.astype(np.float64) - ends[0]) / (ends[1] - ends[0])
    near = 1 - share if metric else share
    levels = (255 * np.clip(near, 0, 1)).round().astype(np.uint8)
    painted = _table()[levels]
    painted[depth <= 0 if metric else ~np.isfinite(depth)] = HOLE
    return np.asarray(painted, np.uint8)


def scale(width: int, metric: bool, ends: Span) -> Picture:
    """A white strip (STRIP, width, 3) with the colours from near to far, and metres below them."""
    strip = np.full((STRIP, width, 3), 255, np.uint8)
    places = np.linspace(ends[0], ends[1], width)[None]
    bar = paint(places if metric else places[:, ::-1], metric, (ends[0], ends[1]))
    strip[2 : 2 + _BAR] = bar
    texts = ticks(ends, max(1, width // _APART)) if metric else []
    if not metric:
        lettering.write(strip, "near", 2, STRIP - 4, _LETTERS, (40, 40, 40))
    for value in texts:
        text = f"{value:g} m"
        wide = lettering.extent(text, _LETTERS).width
        left = round((value - ends[0]) / (ends[1] - ends[0]) * (width - 1))
        strip[2 : 4 + _BAR, min(left, width - 1)] = 0
        place = min(max(left - wide // 2, 0), max(width - wide, 0))
        lettering.write(strip, text, place, STRIP - 4, _LETTERS, (40, 40, 40))
    return strip


def ticks(ends: Span, most: int) -> list[float]:
    """Round numbers between the ends: at most so many, and one at least."""
    power = 10.0 ** math.ceil(math.log10(ends[1] - ends[0]))
    found: list[float] = []
    for step in (one * power / 10**finer for finer in range(4) for one in _STEPS):
        first, last = math.ceil(ends[0] / step), math.floor(ends[1] / step)
        values = [round(place * step, 6) for place in range(first, last + 1)]
        if found and len(values) > most:
            break
        found = values[:most] if values else found
    return found or [round(ends[0], 4)]


def _table() -> Picture:
    """The colour (256, 3) of each level, RGB."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), np.uint8)[:, 0]
