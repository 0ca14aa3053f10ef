"""Reading and writing pictures: always eight bits, three channels, and never half a picture.

Whatever a file holds, its red, green and blue are taken as they are stored: 16 bits are divided by
257, and a fourth band, such as near infrared or opacity, changes nothing.

A picture that is cut short is an error in every format. So is damage inside a JPEG, as `jpeg` says,
and inside a PNG, which has sums of its data. Changed bytes inside a BMP, PPM, TIFF or WebP cannot
be known: the formats have no sums, or their decoders do not look.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from common.errors import DamagedFile, UserError
from common.reading import folders, jpeg, tiff, transparency
from common.reading.folders import Kind
from common.reading.orientation import SIDEWAYS, Orientation, of, of_file, turned

Picture = NDArray[np.uint8]
Colour = Literal["RGB", "BGR"]
Reduction = Literal[1, 2, 4, 8]

# What is wrong with a file is said in one line here, and not by OpenCV before it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".hdr", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".pam", ".pbm", ".pfm", ".pgm", ".pic", ".png", ".pnm", ".ppm", ".ras", ".sr",
    ".tif", ".tiff", ".webp",
})  # fmt: skip
"""What OpenCV decodes, of an animation the first picture; every listing takes these."""

PICTURES = Kind("picture", SUFFIXES)
_OPAQUE = frozenset({".bmp", ".jpeg", ".jpg"})

# A person's own aerial picture has any size; Pillow takes it for an attack.
Image.MAX_IMAGE_PIXELS = None

_PNG = b"\x89PNG\r\n\x1a\n"

# The names say grey, but together with a colour flag these bits mean the reduction alone.
_REDUCED: dict[Reduction, int] = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def read(
    path: Path | str, colour: Colour = "RGB", orientation: Orientation | None = None
) -> Picture:
    """Picture (H, W, 3), 0..255, of an annotated set, from any colour model and depth.

    Args:
        path: file.
        colour: order of the channels.
        orientation: what annotations count, --data.orientation; None means stored pixels.

    Raises:
        DamagedFile: the file is missing, cut short, damaged or not a picture.
    """
    return decode(content(path), path, colour, orientation)


def shown(path: Path | str, orientation: Orientation | None = None) -> Picture:
    """Picture (H, W, 3), RGB, 0..255, that a person gives, as viewers show it.

    Upright, unless --data.orientation says stored; white where it is wholly transparent, so that
    colours that nobody sees change nothing. Raises DamagedFile as `read` does.
    """
    encoded = content(path)
    picture = decode(encoded, path, "RGB", orientation or "upright")
    opacity = _opacity(encoded, path, orientation)
    if opacity is not None:
        picture[opacity == 0] = transparency.BEHIND
    return picture


def shown_opacity(path: Path | str, orientation: Orientation | None = None) -> Picture | None:
    """Opacity (H, W), 0..255, of what `shown` gives; None of a picture without transparency."""
    return _opacity(content(path), path, orientation)


def _opacity(
    encoded: NDArray[np.uint8], path: Path | str, chosen: Orientation | None
) -> Picture | None:
    stored = transparency.opacity(encoded, path)
    if stored is None or chosen == "stored":
        return stored
    return turned(stored, of(encoded))


def content(path: Path | str) -> NDArray[np.uint8]:
    """Bytes of a file (N,). Raises DamagedFile for a file that is missing or cannot be read."""
    try:
        return np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise DamagedFile(f"{path}: no such file") from None
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from None


def size(path: Path | str, orientation: Orientation | None = None) -> tuple[int, int]:
    """Height and width of the picture that `read` gives, from its header where Pillow knows it.

    Raises DamagedFile for a file that is missing or not a picture.
    """
    try:
        with Image.open(path) as opened:
            height, width, turned_by_pillow = opened.height, opened.width, opened.format == "TIFF"
    except FileNotFoundError:
        raise DamagedFile(f"{path}: no such file") from None
    except UnidentifiedImageError:
        # Of a format that OpenCV alone knows, such as PFM.
        height, width = read(path, orientation=orientation).shape[:2]
        return height, width
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path}: cannot be read ({error})") from None
    if of_file(Path(path)) >= SIDEWAYS and turned_by_pillow != (orientation == "upright"):
        return width, height
    return height, width


def decode(
    encoded: NDArray[np.uint8],
    name: Path | str,
    colour: Colour = "RGB",
    orientation: Orientation | None = None,
    reduction: Reduction = 1,
) -> Picture:
    """Picture (H, W, 3) of a file's bytes (N,), as `read` gives it; `name` is for messages.

    A JPEG's `reduction` divides both sides, rounded up: its decoder then leaves out the fine part
    of each 8x8 block, which takes less time and gives about the mean of the pixels.
    """
    if encoded.size == 0:
        raise DamagedFile(f"{name}: is empty (0 bytes)")
    image = jpeg.decode(encoded, name, colour, reduction) if jpeg.is_jpeg(encoded) else None
    if image is None:
        image = _decode(encoded, name, colour, reduction)
    return image if orientation != "upright" else turned(image, of(encoded))


def _decode(
    encoded: NDArray[np.uint8], name: Path | str, colour: Colour, reduction: Reduction
) -> Picture:
    """Picture (H, W, 3), as stored, by OpenCV."""
    flags = cv2.IMREAD_COLOR_RGB if colour == "RGB" else cv2.IMREAD_COLOR_BGR
    flags |= cv2.IMREAD_IGNORE_ORIENTATION | _REDUCED[reduction]
    if _is_cut_png(encoded):
        raise DamagedFile(f"{name}: the picture is cut short; copy the file again")
    if tiff.is_tiff(encoded):
        flags |= cv2.IMREAD_ANYDEPTH if tiff.is_deep_grey(encoded) else 0
        encoded = tiff.plain(encoded, name)
    elif encoded[:8].tobytes() == _PNG:
        flags |= cv2.IMREAD_ANYDEPTH  # scaled below; OpenCV would drop the lower half
    try:
        image = cv2.imdecode(encoded, flags)
    except cv2.error as error:
        raise DamagedFile(f"{name}: cannot be decoded ({error.err})") from None
    if image is None:
        raise DamagedFile(f"{name}: is not a picture that OpenCV can decode, or is damaged")
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / 257)
    return np.asarray(image, dtype=np.uint8)


def stored(path: Path | str) -> NDArray[Any]:
    """The levels of a file as they are stored: (H, W) or (H, W, C), of its own type, not turned.

    Raises:
        DamagedFile: it is missing, cut short, or nothing that OpenCV can decode.
    """
    encoded = content(path)
    if encoded.size == 0:
        raise DamagedFile(f"{path}: is empty (0 bytes)")
    if _is_cut_png(encoded):
        raise DamagedFile(f"{path}: the picture is cut short; copy the file again")
    try:
        found = cv2.imdecode(tiff.unturned(encoded), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DamagedFile(f"{path}: cannot be decoded ({error.err})") from None
    if found is None:
        raise DamagedFile(f"{path}: is not a picture that OpenCV can decode, or is damaged")
    return np.asarray(found)


def is_deep(encoded: NDArray[np.uint8]) -> bool:
    """Whether the bytes (N,) of a file are a PNG or a TIFF of 16 bits."""
    if tiff.is_tiff(encoded):
        return tiff.is_deep(encoded)
    return encoded[:8].tobytes() == _PNG and encoded[24:25].tobytes() == b"\x10"


def _is_cut_png(encoded: NDArray[np.uint8]) -> bool:
    """Whether a PNG lacks its end, which OpenCV fills in."""
    if encoded[:8].tobytes() != _PNG:
        return False
    return b"IEND" not in encoded[-64:].tobytes() and b"IEND" not in encoded.tobytes()


def write(path: Path | str, image: Picture | NDArray[np.uint16]) -> None:
    """Write a picture in RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W); the suffix says the format.

    Grey may have 16 bits, in a PNG or TIFF. JPEG has no transparency: a fourth channel needs a PNG,
    TIFF or WebP file.
    """
    orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    if image.ndim == 3 and image.shape[2] == 4 and Path(path).suffix.lower() in _OPAQUE:
        raise UserError(f"{path}: this format has no transparency; write a .png file")
    try:
        ordered = image if image.ndim == 2 else cv2.cvtColor(image, orders[image.shape[2]])
        written = cv2.imwrite(str(path), ordered)
    except cv2.error as error:
        raise UserError(f"{path}: cannot be written ({error.err})") from None
    if not written:
        raise UserError(f"{path}: cannot be written; does its folder exist, is the disk full?")


def planes(image: Picture) -> Picture:
    """Picture (3, H, W) of one (H, W, 3)."""
    separate = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    # Four times as fast as a transposed copy.
    cv2.split(np.ascontiguousarray(image), list(separate))
    return separate


def is_picture(name: str) -> bool:
    """Whether a file name is a picture's; hidden ones, as macOS leaves next to each, are not."""
    return PICTURES.has(name)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder, sorted by name; other files are told."""
    return folders.inside(folder, PICTURES)


def pictures_below(folder: Path) -> list[Path]:
    """The pictures in a folder and in the folders within it, sorted folder by folder."""
    return folders.below(folder, PICTURES)


def list_images(paths: Iterable[Path | str], kind: Kind = PICTURES) -> list[Path]:
    """Files that are named, and those of the kind directly in folders, each once, sorted by name.

    Raises UserError for a path that does not exist or a folder without such files.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = folders.inside(path, kind)
            if not inside:
                suffixes = ", ".join(sorted(kind.suffixes))
                raise UserError(f"{path}: no {kind.name} in this folder ({suffixes})")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise UserError(f"{path}: no such file or folder")
    if not found:
        raise UserError("no pictures given; name files or folders")
    return list(found)
