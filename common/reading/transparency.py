"""Opacity of the pictures that people give: what is hidden in them stays hidden."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from common.errors import DamagedFile
from common.reading import jpeg, tiff

BEHIND = 255
"""White stands where a picture is wholly transparent, in each channel."""


def opacity(encoded: NDArray[np.uint8], name: object) -> NDArray[np.uint8] | None:
    """Opacity (H, W), 0..255, of an encoded picture as it is stored; None of one without.

    PNG, WebP and GIF have it. A TIFF's fourth band is whatever its camera saw, and no opacity,
    though files often say so.

    Raises:
        DamagedFile: the picture is damaged.
    """
    if jpeg.is_jpeg(encoded) or tiff.is_tiff(encoded):
        return None
    try:
        with Image.open(io.BytesIO(encoded.tobytes())) as opened:
            if not opened.has_transparency_data:
                return None
            return np.array(opened.convert("RGBA").getchannel("A"), np.uint8)
    except UnidentifiedImageError:
        return None  # of the formats that only OpenCV knows none is transparent
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedFile(f"{name}: its transparency cannot be read ({error})") from None
