"""NIfTI files: scans and labels in, labels out on the same voxels. Needs the extra `volumes`."""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError
from common.reading.folders import Kind
from tasks.volumes.volume import AIR, Grid, Labels, Shape, Values, Volume

RESEARCH = "Research only, no diagnosis"
"""Stands in every result."""

SUFFIXES = (".nii", ".nii.gz")
AFFINE_TOLERANCE = 1e-3
"""Largest difference of the affines of a volume and its labels."""

_MOST_HU = 32767
_MOST_PACKED = 1032
"""Bytes that one byte of a gzip file can stand for at most."""
_GEOMETRY = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
    "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
"""Fields of a header that say where voxels lie; others may tell of the patient."""


class Volumes(Kind):
    """Files that end in .nii or .nii.gz; hidden ones, and the copies that macOS leaves, do not."""

    __slots__ = ()

    def has(self, name: str) -> bool:
        """Whether a file of that name is one."""
        return name.lower().endswith(SUFFIXES) and not name.startswith((".", "_"))


VOLUMES = Volumes("volume", frozenset(SUFFIXES))


def stem(path: Path) -> str:
    """A file's name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def library() -> ModuleType:
    """Nibabel.

    Raises:
        UserError: it is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise UserError(
            "NIfTI files need nibabel, which is not installed: pip install '.[volumes]'"
        ) from error
    module: ModuleType = nibabel
    return module


def read(path: Path) -> Volume:
    """The scan of a file, in the working orientation; HU are rounded to whole numbers.

    What is no number counts as air.

    Raises:
        DamagedFile: it is missing, damaged, not one 3-D volume, or its affine makes no sense.
    """
    raw, slope, intercept, grid = _stored(path)
    return Volume(grid.canonical(_hounsfield(raw, slope, intercept)), grid)


def read_labels(path: Path, volume: Volume, classes: int) -> Labels:
    """The labels (Z, Y, X) of a volume.

    Raises:
        DamagedFile: the file is damaged, or is of other voxels than the volume's.
        UserError: it has labels from `classes` on.
    """
    raw, slope, intercept, grid = _stored(path)
    _require_same(path, grid, volume.grid)
    plain = slope == 1 and intercept == 0
    exact = raw if plain else raw * np.float64(slope) + intercept
    labels = np.rint(exact) if exact.dtype.kind == "f" else exact
    if labels is not exact and not np.abs(labels - exact).max(initial=0) < AFFINE_TOLERANCE:
        raise DamagedFile(f"{path}: holds numbers that are not whole, such as interpolated labels")
    least, greatest = int(labels.min()), int(labels.max())
    if least < 0 or greatest >= classes:
        raise UserError(
            f"{path}: holds the label {least if least < 0 else greatest}; the classes are 0 to "
            f"{classes - 1}, see --data.classes"
        )
    return grid.canonical(labels.astype(np.uint8))


def write_labels(path: Path | str, labels: Labels, grid: Grid) -> None:
    """Write labels (Z, Y, X) on the voxels of a grid, whose affine stays what it is.

    Raises:
        UserError: the file cannot be written.
    """
    _write(Path(path), grid.restored(labels), grid, 1.0)


def write_share(path: Path, share: NDArray[np.uint8], grid: Grid) -> None:
    """Write shares (Z, Y, X), 255 for 1, as a volume of 0..1."""
    _write(path, grid.restored(share), grid, 1 / 255)


def write_scan(path: Path, values: Values, grid: Grid) -> None:
    """Write a scan (Z, Y, X) in HU."""
    _write(path, grid.restored(values), grid, 1.0)


def _write(path: Path, stored: NDArray[Any], grid: Grid, slope: float) -> None:
    """Write numbers as they are; the header's slope says what they mean.

    Nothing of the given header is kept but where its voxels lie, so no patient's name travels on.
    """
    nibabel = library()
    own = grid.header
    header = nibabel.Nifti2Header() if _is_second(own) else nibabel.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    if own is None:
        header.set_qform(grid.affine, code=1)
        header.set_sform(grid.affine, code=1)
        header.set_xyzt_units("mm")
    else:
        for name in _GEOMETRY:
            header[name] = own[name]
    header["descrip"] = RESEARCH.encode()
    header.set_slope_inter(slope, 0.0)
    header.set_data_offset(header.single_vox_offset)
    try:
        with nibabel.openers.ImageOpener(str(path), "wb") as file:
            file.write(header.binaryblock.ljust(header.single_vox_offset, b"\0"))
            for index in range(stored.shape[2]):
                file.write(stored[..., index].tobytes(order="F"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _is_second(header: Any) -> bool:
    return header is not None and int(header["sizeof_hdr"]) == 540


def shape_of(path: Path) -> Shape:
    """Voxels along the stored axes, as the header says; no voxel is read.

    Raises:
        DamagedFile: as `read` says.
    """
    image = _opened(path)
    return int(image.shape[0]), int(image.shape[1]), int(image.shape[2])


def _opened(path: Path) -> Any:
    """A file of which the header is read: one volume that the file is large enough for."""
    nibabel = library()
    if not path.is_file():
        raise DamagedFile(f"{path}: no such file")
    with _told(path):
        image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Pair):  # Nifti2 is one of them
        raise DamagedFile(f"{path}: is {type(image).__name__} and not NIfTI; convert it")
    shape = tuple(image.shape)
    if len(shape) != 3 and not (len(shape) == 4 and shape[3] == 1):
        raise DamagedFile(f"{path}: has the shape {shape}; needed: one volume of 3 axes")
    kind = image.dataobj.dtype
    if kind.kind not in "iuf":
        raise DamagedFile(f"{path}: holds {kind}; needed: real numbers")
    held = Path(image.dataobj.file_like).stat().st_size
    if min(shape) < 1 or math.prod(shape) * kind.itemsize > _MOST_PACKED * held:
        voxels = "x".join(map(str, shape))
        raise DamagedFile(f"{path}: tells of {voxels} voxels, which its {held:,} bytes cannot be")
    return image


def _stored(path: Path) -> tuple[NDArray[Any], float, float, Grid]:
    """A file's numbers as they are stored, their slope and intercept, and where they lie."""
    image = _opened(path)
    kept, nibabel = image.dataobj, library()
    with _told(path), nibabel.openers.ImageOpener(kept.file_like) as opened:
        raw = nibabel.volumeutils.array_from_file(kept.shape, kept.dtype, opened, kept.offset)
        opened.read(1)  # behind the last voxel gzip compares its checksum
    raw = np.asarray(raw).reshape(image.shape[:3], order="F")
    grid = Grid((raw.shape[0], raw.shape[1], raw.shape[2]), image.affine, image.header)
    fault = grid.fault()
    if fault is not None:
        raise DamagedFile(f"{path}: {fault}")
    return raw, float(kept.slope), float(kept.inter), grid


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What nibabel raises of a file as one line."""
    nibabel = library()
    known = (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)
    try:
        yield
    except (*known, OSError, EOFError, ValueError, zlib.error) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedFile(f"{path}: is no NIfTI file, is damaged or cut short ({text})") from None


def _hounsfield(raw: NDArray[Any], slope: float, intercept: float) -> Values:
    """Stored numbers as int16, slice by slice, so that no second volume of floats is needed."""
    plain = slope == 1 and intercept == 0
    if plain and raw.dtype == np.int16:
        return raw.astype(np.int16, copy=False)
    found = np.empty(raw.shape, np.int16, order="F")
    for index in range(raw.shape[2]):
        plane = raw[..., index].astype(np.float32) * slope + intercept
        whole = np.nan_to_num(plane, nan=AIR, posinf=_MOST_HU, neginf=AIR)
        found[..., index] = np.clip(np.rint(whole), AIR, _MOST_HU)
    return found


def _require_same(path: Path, own: Grid, volume: Grid) -> None:
    if own.shape != volume.shape:
        raise DamagedFile(
            f"{path}: has {'x'.join(map(str, own.shape))} voxels, its volume "
            f"{'x'.join(map(str, volume.shape))}"
        )
    difference = float(np.abs(own.affine - volume.affine).max())
    if difference > AFFINE_TOLERANCE:
        raise DamagedFile(
            f"{path}: lies elsewhere than its volume: their affines differ by {difference:.3g} "
            f"(allowed: {AFFINE_TOLERANCE:g}); were they turned or resampled apart?"
        )
