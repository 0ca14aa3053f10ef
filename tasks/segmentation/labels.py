"""Label maps on disk to class numbers: palette and grey PNG by value, colour pictures by palette.

A palette PNG is read as the indices that it holds; OpenCV would turn these into colours.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from common.errors import DamagedFile, UserError
from common.networks.losses import IGNORED
from common.reading import tiff
from common.reading.image import content
from common.reading.matlab import read_sbd_map
from tasks.segmentation.config import Colour

_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
)

Labels = NDArray[np.uint8]

UNKNOWN = 254
"""Mark of values that belong to no class, until it is decided what becomes of them."""

_SHOWN = 3
_LOSSY = "a JPEG changes values: take label maps that were saved as PNG"


def _spread(encoded: NDArray[np.uint8]) -> int:
    """By how much Pillow spreads the values of a grey PNG of 2 or 4 bits over 0..255."""
    header = encoded[:26].tobytes()  # signature, then IHDR: bit depth and colour type come last
    if header[:8] != b"\x89PNG\r\n\x1a\n" or header[25] != 0:
        return 1
    return {2: 85, 4: 17}.get(header[24], 1)


class LabelReader:
    """Reads label maps into bytes: 0 up to the number of classes, and IGNORED.

    Args:
        classes: their number.
        ignore_index: value on disk that is ignored.
        values: values on disk of each class; none means 0, 1, 2, ...
        palette: colours on disk of each class; none means that masks hold values. Grey masks always
            hold values: where every colour is a grey, these, and otherwise those of `values`.
        unknown: what to do with values and colours of no class.

    Raises:
        UserError: without a palette, the ignored value is a class's.
    """

    def __init__(
        self,
        classes: int,
        ignore_index: int = IGNORED,
        values: Sequence[Sequence[int]] = (),
        palette: Sequence[Sequence[Colour]] = (),
        unknown: Literal["stop", "ignore"] = "stop",
    ) -> None:
        self.classes = classes
        self.ignore_index = ignore_index
        self.unknown = unknown
        self.table = np.full(256, UNKNOWN, dtype=np.uint8)
        colours = [colour for entries in palette for colour in entries]
        self.grey = bool(palette) and all(len(set(colour)) == 1 for colour in colours)
        greys = [[colour[0] for colour in entries] for entries in palette if self.grey]
        stored = greys or values or [[label] for label in range(classes)]
        for label, entries in enumerate(stored):
            if ignore_index in entries and not palette:
                raise UserError(
                    f"--data.ignore_index {ignore_index}: is also the label value of class number "
                    f"{label}, whose pixels would all be ignored; choose a value that no class has"
                )
            self.table[list(entries)] = label
        if not any(ignore_index in entries for entries in greys):
            self.table[ignore_index] = IGNORED
        codes = _codes(np.array(colours, dtype=np.uint8).reshape(-1, 3))
        order = np.argsort(codes)
        owners = [label for label, entries in enumerate(palette) for _ in entries]
        self.codes, self.owners = codes[order], np.array(owners, dtype=np.uint8)[order]

    def read(self, path: Path) -> Labels:
        """Label map (H, W) of a PNG, or of one of SBD's .mat files.

        Raises:
            DamagedFile: the file is missing, cut short or no label map.
            UserError: it holds colours or values that the classes do not explain.
        """
        labels = self.marked(path)
        labels[labels == UNKNOWN] = IGNORED
        return labels

    def marked(self, path: Path) -> Labels:
        """The label map as `read` gives it, but UNKNOWN where it ignores a value of no class."""
        stored = read_sbd_map(path, "GTcls") if path.suffix == ".mat" else self._open(path)
        if stored.dtype.kind == "f":
            raise UserError(
                f"{path}: holds fractions (such as {stored.flat[0]}) where class numbers are "
                "expected; save the masks as palette or grey PNG"
            )
        labels = self._by_colour(stored) if stored.ndim == 3 else self._by_value(stored)
        outside = labels == UNKNOWN
        if self.unknown == "stop" and outside.any():
            raise UserError(self._complaint(path, stored, outside))
        return labels

    def _open(self, path: Path) -> NDArray[np.integer]:
        """Values (H, W) or colours (H, W, 3), as stored, as the file and the palette decide."""
        if not path.exists():
            raise DamagedFile(f"{path}: no such label map")
        encoded = tiff.unturned(content(path))
        try:
            with Image.open(io.BytesIO(encoded.tobytes())) as mask:
                if len(self.codes) and mask.mode not in ("L", "1", "I", "I;16", "F"):
                    return np.asarray(mask.convert("RGB"))
                # Black and white are 0 and 1 as values, and 0 and 255 as greys.
                stored = np.asarray(mask.convert("L") if mask.mode == "1" and self.grey else mask)
                if mask.mode == "L" and not self.grey:
                    stored = stored // _spread(encoded)
        except _UNREADABLE as error:
            raise DamagedFile(f"{path}: cannot be read as a label map ({error})") from None
        if stored.ndim == 3:
            raise UserError(
                f"{path}: is a colour picture ({mask.mode}) where class numbers are expected; give "
                "the colour of each class, such as --data.palette '[[0, 0, 0], [128, 0, 0]]', or "
                "save the masks as palette or grey PNG"
            )
        return stored.astype(np.uint8) if stored.dtype == np.bool_ else stored

    def _by_value(self, stored: NDArray[np.integer]) -> Labels:
        if stored.dtype == np.uint8:
            return np.asarray(cv2.LUT(stored, self.table), np.uint8)
        inside = (stored >= 0) & (stored <= 255)
        return np.where(inside, self.table[np.where(inside, stored, 0)], np.uint8(UNKNOWN))

    def _by_colour(self, stored: NDArray[np.integer]) -> Labels:
        codes = _codes(stored)
        places = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        known = self.codes[places] == codes
        return np.where(known, self.owners[places], np.uint8(UNKNOWN))

    def _complaint(
        self, path: Path, stored: NDArray[np.integer], outside: NDArray[np.bool_]
    ) -> str:
        found = np.unique(stored[outside], axis=0)
        shown = ", ".join(str(value) for value in found[:_SHOWN].tolist())
        more = ", ..." if len(found) > _SHOWN else ""
        share = 100 * outside.mean()
        lossy = path.suffix.lower() in (".jpg", ".jpeg")
        if stored.ndim == 3:
            advice = _LOSSY if lossy else "add them"
            return (
                f"{path}: {len(found)} colours that --data.palette does not have ({shown}{more}; "
                f"{share:.2g} % of the pixels); {advice}, or say --data.unknown ignore"
            )
        allowed = np.flatnonzero(self.table < UNKNOWN).tolist()
        listed = (
            f"0 to {self.classes - 1}" if allowed == list(range(self.classes)) else "--data.values"
        )
        advice = _LOSSY if lossy else "correct --data.classes, --data.values or --data.ignore_index"
        return (
            f"{path}: label value {shown}{more} ({share:.2g} % of the pixels), but the "
            f"{self.classes} classes have {listed} and {self.ignore_index} is ignored; {advice}, "
            "or say --data.unknown ignore"
        )


def _codes(colours: NDArray[np.integer]) -> NDArray[np.int32]:
    """One number for each colour (..., 3)."""
    wide = colours.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
