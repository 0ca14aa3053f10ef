"""Settings that fit what was seen."""

import numpy as np
from numpy.typing import NDArray

_FEW_STEPS = 10
"""Steps an epoch below which a smaller batch is advised."""
_FAR = 2.0
"""Factor between the size of pictures and that of the input from which a line says so."""


def batch(samples: int, size: int) -> str:
    """How many steps an epoch has, and a smaller batch where these are few."""
    steps = samples // max(1, size)
    text = f"--engine.batch_size {size}: {steps:,} steps an epoch of {samples:,} samples"
    smaller = samples // _FEW_STEPS
    if steps < _FEW_STEPS and 2 <= smaller < size:
        text += f"; few steps: {1 << (smaller.bit_length() - 1)} would give {_FEW_STEPS} or more"
    return text


def short_side(sizes: NDArray[np.int64], flag: str, wanted: int) -> str:
    """What a setting of the short side does to the pictures.

    Args:
        sizes: height and width (N, 2) of the pictures, in pixels.
        flag: the setting.
        wanted: its value in pixels; 0 leaves pictures as they are.
    """
    own = int(np.median(sizes.min(axis=1)))
    if not wanted:
        return f"{flag} 0: pictures keep their size, with a median short side of {own} pixels"
    text = f"{flag} {wanted}: the median of the pictures' short sides is {own} pixels"
    if own / wanted >= _FAR:
        text += f"; {own / wanted:.1f} times smaller loses small things: try {_rounded(own)}"
    elif wanted / own >= _FAR:
        text += f"; {wanted / own:.1f} times larger costs time for nothing: try {_rounded(own)}"
    return text


def whole(sizes: NDArray[np.int64], flag: str, wanted: tuple[int, int]) -> str:
    """What bringing pictures to one size does to them; `wanted` is height and width in pixels."""
    height, width = (int(side) for side in np.median(sizes, axis=0))
    text = f"{flag} {list(wanted)} (height, width): the pictures are {height}x{width} in the median"
    own, target = height / width, wanted[0] / wanted[1]
    if max(own / target, target / own) > 1.5:
        text += f"; their shape differs by a factor of {max(own / target, target / own):.1f}"
    if min(height / wanted[0], width / wanted[1]) >= _FAR:
        text += "; they are shrunk to half or less: small things are lost"
    return text


def crops(heights: NDArray[np.float64], flag: str, wanted: int) -> str:
    """What cutting out and scaling boxes of these heights (N,) in pixels does to them."""
    own = float(np.median(heights)) if len(heights) else 0.0
    text = f"{flag} has a height of {wanted}: the median height of the boxes is {own:.0f} pixels"
    if own / wanted >= _FAR:
        text += f"; {own / wanted:.1f} times smaller: a larger input finds joints more exactly"
    return text


def _rounded(side: int) -> int:
    """A side that the networks' strides divide."""
    return max(32, round(side / 32) * 32)
