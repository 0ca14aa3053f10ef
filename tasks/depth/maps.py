"""Depth maps on disk: whole numbers or floats in any unit in, metres out."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile
from common.reading import image
from common.reading.folders import Kind
from common.reading.orientation import Orientation, of_file, turned
from tasks.depth.config import DataConfig

Depth = NDArray[np.float32]
"""Metres (H, W); 0 where nothing was measured."""

MAPS = Kind("depth map", frozenset({".npy", ".pfm", ".png", ".tif", ".tiff"}))
"""Files that hold depth."""

MILLIMETRES = 1000.0
"""Units of a metre of whole numbers, unless --data.depth_scale says otherwise."""

_NEAR = 0.01
"""Share of the greatest depth below which a whole map is taken for one of another unit."""


def read_depth(path: Path, data: DataConfig) -> Depth:
    """Depth (H, W) in metres of a PNG, TIFF, PFM or NPY file; 0 is a hole, and so is NaN.

    Raises:
        DamagedFile: the file cannot be read, has several channels or 8 bits, negative or infinite
            values, nothing that is measured, or no depth that can be in metres by the settings.
    """
    levels = _levels(path, data.orientation)
    whole = levels.dtype.kind in "ui"
    scale = data.depth_scale or (MILLIMETRES if whole else 1.0)
    _require_bits(path, levels, data)
    _require_numbers(path, levels)
    depth = np.nan_to_num(levels.astype(np.float32), nan=0.0) / np.float32(scale)
    _require_metres(path, depth, levels, scale, data)
    return np.ascontiguousarray(depth, np.float32)


def _levels(path: Path, orientation: Orientation | None) -> NDArray[Any]:
    """The numbers of a file (H, W), as stored or turned upright."""
    stored = _array(path) if path.suffix.lower() == ".npy" else image.stored(path)
    if stored.ndim != 2 or stored.dtype.kind not in "uif":
        raise DamagedFile(
            f"{path}: holds {stored.dtype} of shape {list(stored.shape)}, where a depth map has "
            "one number for each pixel; is it a coloured picture of depth?"
        )
    return turned(stored, of_file(path)) if orientation == "upright" else stored


def _array(path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DamagedFile(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise DamagedFile(f"{path}: cannot be read as a NumPy array ({error})") from None
    return np.asarray(found).squeeze() if isinstance(found, np.ndarray) else np.empty(0)


def _require_bits(path: Path, levels: NDArray[Any], data: DataConfig) -> None:
    """Refuse 8 bits unless the scale says that they reach the greatest depth."""
    if levels.dtype.itemsize > 1:
        return
    reach = 255 / (data.depth_scale or MILLIMETRES)
    if reach < 0.99 * data.max_depth:
        raise DamagedFile(
            f"{path}: has 8 bits, which reach {reach:g} m by --data.depth_scale "
            f"{data.depth_scale or MILLIMETRES:g}; depth needs 16 bits: save it as 16-bit PNG, or "
            f"say --data.depth_scale {255 / data.max_depth:g} if 255 really is "
            f"{data.max_depth:g} m"
        )


def _require_numbers(path: Path, levels: NDArray[Any]) -> None:
    for name, found in (("negative", levels < 0), ("infinite", np.isinf(levels))):
        count = int(np.count_nonzero(found))
        if count:
            raise DamagedFile(
                f"{path}: {count:,} values are {name}; write 0 where nothing was measured"
            )


def _require_metres(
    path: Path, depth: Depth, levels: NDArray[Any], scale: float, data: DataConfig
) -> None:
    measured = depth[depth > 0]
    if not measured.size:
        raise DamagedFile(f"{path}: holds no measurement at all: every value is 0 or NaN")
    least, greatest = float(measured.min()), float(measured.max())
    said = f"{path}: its depth is from {least:.4g} to {greatest:.4g} m by --data.depth_scale "
    said += f"{scale:g} (greatest value {levels[np.isfinite(levels)].max():g})"
    if least > data.max_depth:
        raise DamagedFile(
            f"{said}, all of it beyond --data.max_depth {data.max_depth:g}; set one of them"
        )
    if greatest < _NEAR * data.max_depth:
        raise DamagedFile(
            f"{said}, nearer than {_NEAR:.0%} of --data.max_depth {data.max_depth:g}; set one of "
            "them, and if whole numbers stand for metres, save finer ones"
        )
