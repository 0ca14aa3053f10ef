"""A folder of DICOM files as one scan. Needs pydicom, of the extra `volumes`.

Nothing of the files but numbers and geometry is kept: no patient's name reaches a result or a log.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from tasks.volumes.volume import AIR, Grid, Volume

_MARK = slice(128, 132)
"""Where a file says DICM."""
_LOOKED_AT = 20
"""Files of a folder that are looked at for the mark."""
_EVEN = 0.01
"""Largest share by which a gap between slices may differ from the others."""
_MOST_HU = 32767


def library() -> ModuleType:
    """Pydicom.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise UserError(
            "DICOM files need pydicom, which is not installed: pip install '.[volumes]'"
        ) from error
    module: ModuleType = pydicom
    return module


def is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files."""
    if not folder.is_dir():
        return False
    files = [one for one in sorted(folder.iterdir()) if one.is_file() and _visible(one)]
    return any(_has_mark(one) for one in files[:_LOOKED_AT])


def _visible(file: Path) -> bool:
    return not file.name.startswith(".") and file.name != "DICOMDIR"


def _has_mark(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(_MARK.stop)[_MARK] == b"DICM"


def read(folder: Path) -> Volume:
    """The one series of a folder, in the working orientation, in HU.

    Slices are sorted by their positions. Localizers do not count.

    Raises:
        DamagedFile: there are several series, slices are missing, tilted or of several sizes, or a
            file cannot be read.
    """
    slices = _one_series(folder, _headers(folder))
    across, down, through = _directions(folder, slices)
    positions = np.array([_numbers(folder, one, "ImagePositionPatient", 3) for one in slices])
    order = np.argsort(positions @ through, kind="stable")
    slices, positions = [slices[index] for index in order], positions[order]
    gap = _gap(folder, positions, through)
    rows, columns = int(slices[0].Rows), int(slices[0].Columns)
    values = np.empty((len(slices), rows, columns), np.int16)
    for index, one in enumerate(slices):
        values[index] = _hounsfield(folder, one, (rows, columns))
    between_rows, between_columns = _numbers(folder, slices[0], "PixelSpacing", 2)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * between_columns, down * between_rows
    affine[:3, 2], affine[:3, 3] = through * gap, positions[0]
    affine[:2] *= -1  # DICOM counts to the left and to the back
    grid = Grid((columns, rows, len(slices)), affine)
    fault = grid.fault()
    if fault is not None:
        raise DamagedFile(f"{folder}: {fault}")
    return Volume(grid.canonical(values.transpose(2, 1, 0)), grid)


def _headers(folder: Path) -> list[Any]:
    pydicom = library()
    found = []
    for file in sorted(folder.iterdir()):
        if not file.is_file() or not _visible(file) or not _has_mark(file):
            continue
        try:
            header = pydicom.dcmread(file)
        except (pydicom.errors.InvalidDicomError, OSError, EOFError, ValueError) as error:
            raise DamagedFile(f"{file}: cannot be read as DICOM ({type(error).__name__})") from None
        if "LOCALIZER" not in [str(word).upper() for word in header.get("ImageType") or ()]:
            found.append(header)
    if not found:
        raise DamagedFile(f"{folder}: no DICOM slice in this folder")
    return found


def _one_series(folder: Path, headers: Sequence[Any]) -> list[Any]:
    """The slices, if they are of one series, one size and one slice a file."""
    series = Counter(str(one.get("SeriesInstanceUID", "")) for one in headers)
    if len(series) > 1:
        counts = ", ".join(f"{count} slices" for count in series.values())
        raise DamagedFile(
            f"{folder}: holds {len(series)} series ({counts}); put each into a folder of its own"
        )
    if any(int(one.get("NumberOfFrames") or 1) > 1 for one in headers):
        raise DamagedFile(f"{folder}: a file holds several frames; convert it to NIfTI first")
    sizes = Counter((one.get("Rows"), one.get("Columns")) for one in headers)
    if len(sizes) > 1 or None in next(iter(sizes)):
        raise DamagedFile(f"{folder}: its slices have several sizes or none")
    return list(headers)


def _directions(
    folder: Path, slices: Sequence[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along the columns, the rows and the slices."""
    every = np.array([_numbers(folder, one, "ImageOrientationPatient", 6) for one in slices])
    if np.abs(every - every[0]).max() > 1e-3:
        raise DamagedFile(f"{folder}: its slices lie in several directions; part them by folders")
    across, down = every[0, :3], every[0, 3:]
    return across, down, np.cross(across, down)


def _gap(folder: Path, positions: NDArray[np.float64], through: NDArray[np.float64]) -> float:
    """Millimetres between slices (N, 3), which all are alike and straight behind each other."""
    if len(positions) < 2:
        raise DamagedFile(f"{folder}: holds one slice; a volume has at least two")
    gaps = np.diff(positions @ through)
    usual = float(np.median(gaps))
    if gaps.min() < _EVEN * max(usual, 1e-6):
        raise DamagedFile(f"{folder}: two slices lie at one place; is the series there twice?")
    odd = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[odd] - usual) > _EVEN * usual:
        raise DamagedFile(
            f"{folder}: slices {odd + 1} and {odd + 2} of {len(positions)} lie {gaps[odd]:.4g} mm "
            f"apart, the others {usual:.4g} mm; is a slice missing?"
        )
    steps = np.diff(positions, axis=0)
    aside = float(np.linalg.norm(steps - np.outer(gaps, through), axis=1).max())
    if aside > 0.02 * usual:
        raise DamagedFile(
            f"{folder}: each slice lies {aside:.3g} mm beside the one before it, as of a tilted "
            "gantry; resample it first"
        )
    return float(gaps.mean())


def _numbers(folder: Path, one: Any, name: str, count: int) -> NDArray[np.float64]:
    value = one.get(name)
    if value is None or len(value) != count:
        raise DamagedFile(f"{folder}: a slice does not tell its {name}; it is no CT slice")
    return np.array([float(number) for number in value])


def _hounsfield(folder: Path, one: Any, size: tuple[int, int]) -> NDArray[np.int16]:
    """A slice in HU, by its own slope and intercept; padding is air."""
    try:
        stored = np.asarray(one.pixel_array)
    except Exception as error:  # pydicom raises what its decoders raise, of many kinds
        raise DamagedFile(
            f"{folder}: the pixels of a slice cannot be decoded ({type(error).__name__}); write "
            "the series without compression, or convert it to NIfTI"
        ) from None
    if stored.shape != size:
        raise DamagedFile(f"{folder}: a slice is not grey; it is no CT slice")
    slope, intercept = one.get("RescaleSlope"), one.get("RescaleIntercept")
    if slope is None or intercept is None:
        raise DamagedFile(
            f"{folder}: a slice does not tell its RescaleSlope and RescaleIntercept, so its HU are "
            "not known"
        )
    values = np.rint(stored.astype(np.float32) * float(slope) + float(intercept))
    padding = one.get("PixelPaddingValue")
    if padding is not None:
        values[stored == int(padding)] = AIR
    return np.asarray(np.clip(values, AIR, _MOST_HU), np.int16)
