"""Pictures that strangers give: looked at before they are decoded, upright, without metadata."""

import os
import time
from collections.abc import Collection
from pathlib import Path

import cv2
from PIL import Image

from app.settings import LimitsConfig
from common.errors import DamagedFile, UserError
from common.reading import image
from common.reading.image import Picture

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What a visitor may give, as Pillow names them; the header says it, never the name."""


def read(path: Path, limits: LimitsConfig) -> Picture:
    """A picture (H, W, 3), uint8 RGB, upright; all that the file holds besides is left behind.

    Raises:
        UserError: it is too large, or not a picture; the message does not tell where it lies.
    """
    try:
        require_small(path, limits)
        return image.shown(path, "upright")
    except DamagedFile as error:
        raise UserError(str(error).removeprefix(f"{path}: ")) from error


def require_small(path: Path, limits: LimitsConfig) -> None:
    """Refuse a file by its size and its header, before anything is decoded.

    Raises:
        UserError: as `read` says.
    """
    size = path.stat().st_size
    if size > limits.upload_bytes:
        raise UserError(
            f"the file has {size / 1e6:.1f} MB; at most {limits.upload_megabytes:g} MB are taken"
        )
    try:
        with Image.open(path, formats=FORMATS) as opened:
            width, height = opened.size
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UserError(
            "this is not a picture that can be read; JPEG, PNG, WebP, TIFF, BMP and GIF are taken"
        ) from error
    if width * height > limits.megapixels * 1e6:
        raise UserError(
            f"the picture has {width} x {height} pixels; at most {limits.megapixels:g} million "
            "are taken: make it smaller"
        )


_CONTAINERS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"),  # MP4, QuickTime
    (0, b"\x1aE\xdf\xa3"),  # WebM, Matroska
    (8, b"AVI "),
)  # fmt: skip
"""Where in a file which bytes say that it holds frames."""


def require_clip(path: Path, limits: LimitsConfig) -> float:
    """Refuse a clip by its size and header; returns how many frames it speaks of, 0 if unknown.

    What is no container of frames is not opened: a playlist could name files of this machine.

    Raises:
        UserError: it is too large, too long, or no clip.
    """
    with path.open("rb") as opened:
        start = opened.read(12)
    if not any(start[place:].startswith(said) for place, said in _CONTAINERS):
        raise UserError(
            "this is not a clip that can be read; MP4, MOV, WebM, MKV and AVI are taken"
        )
    capture = cv2.VideoCapture(str(path))
    try:
        frames, rate, width, height = (
            capture.get(one)
            for one in (
                cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH,
                cv2.CAP_PROP_FRAME_HEIGHT,
            )
        )  # fmt: skip
    finally:
        capture.release()
    if width * height > limits.megapixels * 1e6:
        raise UserError(f"the clip's frames have {width:.0f} x {height:.0f} pixels; too many")
    seconds = frames / rate if rate > 0 else 0
    # Recordings of browsers do not say how long they are; then the frames are counted on the way.
    if seconds > limits.video_seconds or frames > limits.video_frames:
        raise UserError(
            f"the clip has {seconds:.0f} seconds and {frames:.0f} frames; at most "
            f"{limits.video_seconds:g} seconds and {limits.video_frames} frames are taken: cut it"
        )
    return max(0.0, frames)


def sweep(folder: Path, seconds: float, spared: Collection[Path] = ()) -> None:
    """Delete the files of a folder that are older, and the folders that are then empty.

    Symbolic links are deleted and not followed.
    """
    oldest = time.time() - seconds
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place, name)
            if path not in spared and path.lstat().st_mtime < oldest:
                path.unlink(missing_ok=True)
        for name in folders:
            inside = Path(place, name)
            if not inside.is_symlink() and inside.lstat().st_mtime < oldest:
                _remove_if_empty(inside)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # something lies in it
        return
