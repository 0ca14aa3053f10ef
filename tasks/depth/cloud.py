"""Depth as points in space, with the colours of the picture, in a PLY file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.reading.image import Picture


def points(depth: NDArray[np.float32], focal: float) -> NDArray[np.float32]:
    """Points (H, W, 3) of a map (H, W) in metres: x to the right, y down, z ahead of the camera.

    Args:
        depth: metres along the optical axis, which meets the picture in its middle.
        focal: focal length in pixels.
    """
    height, width = depth.shape
    across = (np.arange(width) + 0.5 - width / 2) / focal
    down = (np.arange(height) + 0.5 - height / 2) / focal
    return np.stack([depth * across, depth * down[:, None], depth], axis=-1).astype(np.float32)


def write(path: Path, places: NDArray[np.float32], picture: Picture) -> None:
    """Write points (H, W, 3) with the colours of a picture (H, W, 3) as a binary PLY.

    Raises:
        UserError: it cannot be written.
    """
    table = np.empty(
        places.shape[0] * places.shape[1], dtype=[("place", "<f4", 3), ("colour", "u1", 3)]
    )
    table["place"], table["colour"] = places.reshape(-1, 3), picture.reshape(-1, 3)
    head = (
        "ply\nformat binary_little_endian 1.0\n"
        "comment metres; x to the right, y down, z ahead of the camera\n"
        f"element vertex {len(table)}\n"
        + "".join(f"property float {name}\n" for name in "xyz")
        + "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
        + "end_header\n"
    )
    try:
        path.write_bytes(head.encode() + table.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
