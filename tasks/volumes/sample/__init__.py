"""Writes the generated data set in the Decathlon's layout: bodies of ellipsoids, in HU."""

import json
from pathlib import Path

import numpy as np

from common.sample import cached
from tasks.volumes import nifti
from tasks.volumes.sample.phantom import CLASSES, phantom
from tasks.volumes.volume import Grid, Spacing

VERSION = 1
"""Rises when the same seed gives other volumes, so that nobody trains on a stale cache."""

CASES = 24
SIZE = 96
"""Rows and columns of a slice, about."""
SLICES = 40
"""About."""

_ORIENTATIONS = ("RAS", "LPS", "LAS", "SPL")
_OBLIQUE = 5
"""Every so many cases lie obliquely, by as many degrees."""


def write(
    folder: Path, seed: int = 0, cases: int = CASES, size: int = SIZE, slices: int = SLICES
) -> None:
    """Write so many cases, each of its own orientation and spacing.

    The same seed gives the same volumes, and the first cases do not depend on their number.
    """
    images, labels = folder / "imagesTr", folder / "labelsTr"
    for one in (images, labels):
        one.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(cases):
        generator = np.random.default_rng([seed, number])
        deep, high, wide = (
            side + int(generator.integers(-side // part, side // part + 1))
            for side, part in ((slices, 10), (size, 16), (size, 16))
        )
        shape = (deep, high, wide)
        pixel = float(generator.uniform(0.8, 1.2) * SIZE / size)
        spacing = (float(generator.uniform(2, 5) * SLICES / slices), pixel, pixel)
        body = phantom(shape, spacing, generator)
        grid = _grid(shape, spacing, number)
        names.append(f"phantom_{number:03d}.nii.gz")
        nifti.write_scan(images / names[-1], body.values, grid)
        nifti.write_labels(labels / names[-1], body.labels, grid)
    content = {
        "name": "Phantom",
        "description": "Generated bodies, not the benchmark",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {str(label): name for label, name in enumerate(CLASSES)},
        "numTraining": cases,
        "numTest": 0,
        "training": [
            {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names
        ],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(content, indent=1) + "\n")


def _grid(shape: tuple[int, int, int], spacing: Spacing, number: int) -> Grid:
    """Where the voxels of a case lie: its axes in one of several orders and directions."""
    letters = _ORIENTATIONS[number % len(_ORIENTATIONS)]
    worlds = [
        next(w for w, both in enumerate(("RL", "AP", "SI")) if one in both) for one in letters
    ]
    matrix = np.zeros((3, 3))
    for axis, (letter, world) in enumerate(zip(letters, worlds, strict=True)):
        matrix[world, axis] = spacing[2 - world] if letter in "RAS" else -spacing[2 - world]
    if number % _OBLIQUE == _OBLIQUE - 1:
        angle = np.deg2rad(_OBLIQUE)
        turn = np.array([
            [1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)],
        ])  # fmt: skip
        matrix = turn @ matrix
    affine = np.eye(4)
    stored = (shape[2 - worlds[0]], shape[2 - worlds[1]], shape[2 - worlds[2]])
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ (np.array(stored) - 1) / 2
    return Grid(stored, affine)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("volumes", VERSION, write)
