"""Writes the generated depth data set in the layout of BTS's lists of NYU: rooms of known depth."""

from pathlib import Path

import numpy as np

from common.reading.image import write as write_picture
from common.sample import cached
from tasks.depth.sample.room import Camera, scene

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PICTURES, VAL_PICTURES = 800, 80
MILLIMETRES = 1000

CAMERA, OTHER_CAMERA = Camera(57.0), Camera(75.0)
"""The camera of training and val, and that of the split other_camera, whose metres look nearer."""


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PICTURES, val: int = VAL_PICTURES
) -> None:
    """Write `train` and `val` pictures, and as many as val by another camera, with their depth.

    Depth is a 16-bit PNG in millimetres, 0 in the holes; each list tells the focal length. The same
    seed gives the same bytes, and a split's first pictures do not depend on its length.
    """
    splits = (
        ("train", train, 1, CAMERA),
        ("val", val, 500_001, CAMERA),
        ("other_camera", val, 700_001, OTHER_CAMERA),
    )
    for split, pictures, first, camera in splits:
        (folder / split).mkdir(parents=True, exist_ok=True)
        lines = []
        for number in range(first, first + pictures):
            room = scene(camera, np.random.default_rng([seed, number]))
            picture, depth = f"{split}/rgb_{number:06d}.jpg", f"{split}/depth_{number:06d}.png"
            write_picture(folder / picture, room.picture)
            millimetres = (room.depth * MILLIMETRES).round().astype(np.uint16)
            write_picture(folder / depth, millimetres)
            lines.append(f"/{picture} /{depth} {camera.focal:.4f}\n")
        (folder / f"{split}.txt").write_text("".join(lines))


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("depth", VERSION, write)
