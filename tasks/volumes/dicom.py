"""A folder of DICOM files as one scan. Needs pydicom, of the extra `volumes`.

Nothing of the files but numbers and geometry is kept: no patient's name reaches a result or a log.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from tasks.volumes.volume import AIR, Grid, Shape, Volume

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


def is_slice(path: Path) -> bool:
    """Whether a file is one of DICOM."""
    return path.is_file() and _has_mark(path)


def read(folder: Path) -> Volume:
    """The one series of a folder, in the working orientation, in HU.

    Slices are sorted by their positions. Localizers do not count.

    Raises:
        DamagedFile: there are several series, slices are missing, tilted or of several sizes, or a
            file cannot be read.
    """
    slices = _one_series(folder, _slices(folder))
    across, down, through = _directions(folder, slices)
    positions = np.array([_numbers(one, "ImagePositionPatient", 3) for one in slices])
    order = np.argsort(positions @ through, kind="stable")
    slices, positions = [slices[index] for index in order], positions[order]
    gap = _gap(folder, positions, through)
    between_rows, between_columns = _spacing(folder, slices)
    rows, columns = int(slices[0].header.Rows), int(slices[0].header.Columns)
    values = np.empty((len(slices), rows, columns), np.int16)
    for index, one in enumerate(slices):
        values[index] = _hounsfield(one, (rows, columns))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * between_columns, down * between_rows
    affine[:3, 2], affine[:3, 3] = through * gap, positions[0]
    affine[:2] *= -1  # DICOM counts to the left and to the back
    grid = Grid((columns, rows, len(slices)), affine)
    fault = grid.fault()
    if fault is not None:
        raise DamagedFile(f"{folder}: {fault}")
    return Volume(grid.canonical(values.transpose(2, 1, 0)), grid)


def shape_of(folder: Path) -> Shape:
    """Slices, rows and columns of the one series of a folder; no pixel is read.

    Raises:
        DamagedFile: as `read` says.
    """
    slices = _one_series(folder, _slices(folder))
    return len(slices), int(slices[0].header.Rows), int(slices[0].header.Columns)


class Slice(NamedTuple):
    """One file."""

    file: Path
    header: Any
    """Of pydicom, with the tags below only."""


_TAGS = (
    "ImageType", "Modality", "SeriesInstanceUID", "NumberOfFrames", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "PixelPaddingValue",
)  # fmt: skip


def _slices(folder: Path) -> list[Slice]:
    """All DICOM files of a folder but localizers, without their pixels."""
    library()
    files = [one for one in sorted(folder.iterdir()) if _visible(one) and is_slice(one)]
    every = [Slice(file, _header(file)) for file in files]
    found = [
        one
        for one in every
        if "LOCALIZER" not in [str(word).upper() for word in one.header.get("ImageType") or ()]
    ]
    if not found:
        raise DamagedFile(f"{folder}: no DICOM slice in this folder")
    return found


def _header(file: Path) -> Any:
    pydicom = library()
    try:
        meta = pydicom.filereader.read_file_meta_info(file)
        whole = meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian
        if not whole:  # it would be inflated to whatever size
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            list(header)  # values are decoded when they are looked at
            return header
    except Exception as error:  # of many kinds, whatever a damaged file leads to
        raise DamagedFile(f"{file}: cannot be read as DICOM ({type(error).__name__})") from None
    raise DamagedFile(f"{file}: is compressed as a whole; write the series without compression")


def _one_series(folder: Path, slices: Sequence[Slice]) -> list[Slice]:
    """The slices, if they are of one series, one size and one slice a file."""
    series = Counter(str(one.header.get("SeriesInstanceUID", "")) for one in slices)
    if len(series) > 1:
        unknown = [one.file for one in slices if not one.header.get("SeriesInstanceUID")]
        if unknown:
            raise DamagedFile(f"{unknown[0]}: does not tell its series; is it cut short?")
        counts = ", ".join(f"{count} slices" for count in series.values())
        raise DamagedFile(
            f"{folder}: holds {len(series)} series ({counts}); put each into a folder of its own"
        )
    for one in slices:
        if one.header.get("Modality", "CT") != "CT":
            raise DamagedFile(f"{one.file}: is of the modality {one.header.Modality} and not CT")
        if str(one.header.get("NumberOfFrames") or 1) != "1":
            raise DamagedFile(f"{one.file}: holds several frames; convert it to NIfTI first")
    first, *others = ([one.header.get("Rows"), one.header.get("Columns")] for one in slices)
    alike = all(one == first for one in others)
    if not alike or not all(isinstance(side, int) and side > 0 for side in first):
        raise DamagedFile(f"{folder}: its slices have several sizes or none")
    return list(slices)


def _directions(
    folder: Path, slices: Sequence[Slice]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along the columns, the rows and the slices."""
    every = np.array([_numbers(one, "ImageOrientationPatient", 6) for one in slices])
    lengths = np.linalg.norm(every.reshape(-1, 3), axis=1)
    if np.abs(lengths - 1).max() > _EVEN:
        raise DamagedFile(f"{folder}: a slice's ImageOrientationPatient has no unit vectors")
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


def _spacing(folder: Path, slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Millimetres between rows and columns."""
    every = np.array([_numbers(one, "PixelSpacing", 2) for one in slices])
    if np.abs(every - every[0]).max() > _EVEN * every[0].min():
        raise DamagedFile(f"{folder}: its slices have pixels of several sizes")
    found: NDArray[np.float64] = every[0]
    return found


def _numbers(one: Slice, name: str, count: int) -> NDArray[np.float64]:
    value = one.header.get(name)
    values = [value] if isinstance(value, int | float) else value or ()
    try:
        found = np.array([float(number) for number in values])
    except (TypeError, ValueError):
        found = np.empty(0)
    if len(found) != count or not np.isfinite(found).all():
        raise DamagedFile(f"{one.file}: does not tell its {name}; it is no CT slice")
    return found


def _hounsfield(one: Slice, size: tuple[int, int]) -> NDArray[np.int16]:
    """A slice in HU, by its own slope and intercept; padding is air."""
    try:
        stored = np.asarray(library().dcmread(one.file).pixel_array)
    except Exception as error:  # pydicom raises what its decoders raise, of many kinds
        raise DamagedFile(
            f"{one.file}: its pixels cannot be decoded ({type(error).__name__}); write the series "
            "without compression, or convert it to NIfTI"
        ) from None
    if stored.shape != size:
        raise DamagedFile(f"{one.file}: is not grey; it is no CT slice")
    (slope,), (intercept,) = (
        _numbers(one, name, 1) for name in ("RescaleSlope", "RescaleIntercept")
    )
    if not slope:
        raise DamagedFile(f"{one.file}: has the RescaleSlope 0, so its HU are not known")
    values = np.rint(stored.astype(np.float32) * slope + intercept)
    padding = one.header.get("PixelPaddingValue")
    if isinstance(padding, int):
        values[stored == padding] = AIR
    return np.asarray(np.clip(values, AIR, _MOST_HU), np.int16)
