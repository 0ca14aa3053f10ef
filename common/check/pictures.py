"""What a picture's file says by itself, in most cases without being decoded."""

import io

from PIL import Image, UnidentifiedImageError

from common.check.examined import Content, Look
from common.check.findings import Remark
from common.errors import DamagedFile
from common.reading import image, orientation
from common.reading.orientation import Orientation

_MODES = {
    "1": "1 bit", "L": "grey", "LA": "grey with opacity", "P": "palette", "PA": "palette",
    "RGB": "RGB", "RGBA": "RGB with opacity", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "Lab",
    "I": "32 bit", "F": "floating point", "I;16": "grey of 16 bits", "I;16B": "grey of 16 bits",
}  # fmt: skip

_DARK = 64
"""What 14 of 16 bits reach at most, of 255."""


def header(chosen: Orientation | None, content: Content) -> Look:
    """Size, format, colours and orientation of a picture; no more where Pillow does not know it.

    Whether it is sound is found when it is decoded. Of 16 bits the levels are looked at,
    which cameras often fill by less: 12 bits that are stored as they are come out dark.

    Args:
        chosen: --data.orientation; None does not say it.
        content: bytes of the file.
    """
    number = orientation.of(content)
    turned, remarks = {"orientation": str(number)}, (*_turned(number, chosen), *_dark(content))
    try:
        with Image.open(io.BytesIO(content.tobytes())) as opened:
            width, height = opened.size
            format, mode = opened.format or "unknown", opened.mode
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Look(attributes=turned, remarks=remarks)
    if chosen == "upright" and number >= orientation.SIDEWAYS:
        width, height = height, width
    return Look(
        {"width": float(width), "height": float(height)},
        {"format": format, "colours": _MODES.get(mode, mode), **turned},
        remarks=remarks,
    )


def _turned(number: int, chosen: Orientation | None) -> tuple[Remark, ...]:
    if number == 1 or chosen is not None:
        return ()
    return (
        Remark(
            "warning",
            "pictures have an EXIF orientation other than 1",
            f"orientation {number}",
            "look at the samples and say which way the annotations count: --data.orientation "
            "stored or upright",
        ),
    )


def _dark(content: Content) -> tuple[Remark, ...]:
    if not image.is_deep(content):
        return ()
    try:
        highest = int(image.decode(content, "").max())  # as it is read: without a further band
    except DamagedFile:
        return ()  # which is told when it is read
    if highest > _DARK:
        return ()
    return (
        Remark(
            "warning",
            "pictures of 16 bits have low levels alone and come out dark",
            f"at most {highest} of 255",
            "if their camera gives fewer bits, multiply the levels (12 bits: by 16) and write the "
            "files again",
        ),
    )
