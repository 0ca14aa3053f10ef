"""What a picture's file says without being decoded."""

import io

from PIL import Image, UnidentifiedImageError

from common.check.examined import Content, Look
from common.check.findings import Remark

_ORIENTATION = 0x0112
"""EXIF tag."""
_MODES = {
    "1": "1 bit", "L": "grey", "LA": "grey with opacity", "P": "palette", "PA": "palette",
    "RGB": "RGB", "RGBA": "RGB with opacity", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "Lab",
    "I": "32 bit", "F": "floating point", "I;16": "grey of 16 bits", "I;16B": "grey of 16 bits",
}  # fmt: skip


def header(name: str, content: Content) -> Look:
    """Size, format, colours and orientation of a picture; nothing where Pillow does not know it.

    Whether it is sound is found when it is decoded.
    """
    try:
        with Image.open(io.BytesIO(content.tobytes())) as opened:
            orientation = int(opened.getexif().get(_ORIENTATION, 1))
            width, height = opened.size
            attributes = {
                "format": opened.format or "unknown",
                "colours": _MODES.get(opened.mode, opened.mode),
                "orientation": str(orientation),
            }
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Look()
    measures = {"width": float(width), "height": float(height)}
    return Look(measures, attributes, remarks=_turned(orientation))


def _turned(orientation: int) -> tuple[Remark, ...]:
    if orientation == 1:
        return ()
    return (
        Remark(
            "warning",
            "pictures are to be turned by their EXIF orientation",
            f"orientation {orientation}",
            "look at the samples: annotations that a viewer showed upright need "
            "--data.orientation upright",
        ),
    )
