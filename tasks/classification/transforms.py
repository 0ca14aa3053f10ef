"""From the bytes of a picture to the network's input, and what training varies on the way.

Training crops are drawn as in the published recipe (Szegedy et al., "Going Deeper with
Convolutions", CVPR 2015, section 6: a random share of the area in a random aspect ratio). Two ways
lead from a crop to its pixels:

- "exact" decodes the whole picture and scales with Pillow's filters, whose support grows with the
  factor: pixel by pixel what torchvision and timm do.
- "fast" lets the JPEG decoder leave out what scaling would average away (a half, a quarter or an
  eighth of the resolution), wherever the crop stays at least as large as the input, and averages
  four bilinear samples a pixel where Pillow weighs all pixels. On photographs it differs from
  "exact" by half a grey level of 255 in the mean where it did not reduce, and it takes about three
  quarters of the time. Where it reduced, the crop is rounded to the pixels that are left.

Scores are always computed from exact pixels.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import DamagedFile
from common.reading import image as pictures
from common.reading.image import Picture, Reduction
from common.reading.orientation import SIDEWAYS, Orientation, of
from tasks.classification.augmentation import randaugment
from tasks.classification.config import DataConfig, ScoringConfig

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

HEADER = 1 << 16
"""Bytes in which a JPEG's size is looked for; behind a larger preview the whole is decoded."""

_ATTEMPTS = 10


class Box(NamedTuple):
    """Part of a picture in its pixels."""

    x: int
    y: int
    width: int
    height: int


def random_box(
    width: int,
    height: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: np.random.Generator,
) -> Box:
    """A part of the picture: its share of the area is uniform in `scale`, its aspect in `ratio`.

    The aspect is drawn on a logarithmic scale. A part that does not fit is drawn anew, ten times;
    then the largest centred one of an allowed aspect is taken.
    """
    for _ in range(_ATTEMPTS):
        area = width * height * generator.uniform(*scale)
        aspect = float(np.exp(generator.uniform(np.log(ratio[0]), np.log(ratio[1]))))
        w, h = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            x, y = generator.integers(0, [width - w + 1, height - h + 1])
            return Box(int(x), int(y), w, h)
    aspect = min(max(width / height, ratio[0]), ratio[1])
    w = min(width, max(1, round(height * aspect)))
    h = min(height, max(1, round(width / aspect)))
    return Box((width - w) // 2, (height - h) // 2, w, h)


def center_crop(
    image: Picture, size: int, crop: float, interpolation: Literal["bilinear", "bicubic"]
) -> Picture:
    """The published protocol: short side to size / crop pixels, then the middle (size, size, 3).

    The long side is rounded down, and an odd border halved to the even number, as by torchvision.
    """
    height, width = image.shape[:2]
    short = int(size / crop)
    scaled = (short, short * height // width)
    if width > height:
        scaled = (short * width // height, short)
    left, top = (round((side - size) / 2) for side in scaled)
    # Scaling the middle alone would be faster, but it rounds some pixels to the next grey level.
    resized = Image.fromarray(image).resize(scaled, FILTERS[interpolation])
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def resize_fast(image: Picture, size: int) -> Picture:
    """A picture (H, W, 3) as (size, size, 3): bilinear, the mean of four samples where it shrinks.

    Four samples a pixel suffice up to a factor of two; beyond, `decode_box` has already shrunk a
    JPEG, and other formats are averaged by whole numbers first.
    """
    factor = min(image.shape[:2]) // (2 * size)
    if factor > 1:
        shrunk = (image.shape[1] // factor, image.shape[0] // factor)
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    if max(image.shape[:2]) > size:
        twice = cv2.resize(image, (2 * size, 2 * size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(twice, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def jpeg_size(encoded: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Width and height that a JPEG's header states; None for other formats and broken headers."""
    data = encoded[:HEADER].tobytes()
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        # The frame headers; the gaps in their range are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            return (width, height) if width and height else None
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def reduction_for(box: Box, size: int) -> Reduction:
    """The largest reduction of a JPEG that leaves the box as large as the input."""
    for reduction in (8, 4, 2):
        if min(box.width, box.height) >= reduction * size:
            return reduction
    return 1


class TrainTransform:
    """A random part of a picture, mirrored and changed at random, in the size of the input."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.randaugment = randaugment(config)

    def __call__(
        self, encoded: NDArray[np.uint8], name: str, generator: np.random.Generator
    ) -> Picture:
        """Input (size, size, 3) in RGB from the bytes of a file.

        Raises:
            DamagedFile: the bytes are not a whole picture.
        """
        config = self.config
        image = self._crop(encoded, name, generator)
        if generator.random() < config.flip_probability:
            image = np.asarray(
                cv2.flip(image, 1), np.uint8
            )  # a tenth of the time of image[:, ::-1]
        if self.randaugment is not None:
            image = self.randaugment(image, generator)
        return image

    def _crop(
        self, encoded: NDArray[np.uint8], name: str, generator: np.random.Generator
    ) -> Picture:
        config, size = self.config, self.config.input_size
        known = jpeg_size(encoded) if config.decoding == "fast" else None
        if known is not None and config.orientation == "upright" and of(encoded) >= SIDEWAYS:
            known = known[::-1]
        if known is None:
            image = pictures.decode(encoded, name, orientation=config.orientation)
            height, width = image.shape[:2]
            box = random_box(width, height, config.scale, config.ratio, generator)
        else:
            box = random_box(*known, config.scale, config.ratio, generator)
            reduction = reduction_for(box, size)
            image = pictures.decode(
                encoded, name, orientation=config.orientation, reduction=reduction
            )
            if image.shape[:2] != tuple(-(-side // reduction) for side in known[::-1]):
                raise DamagedFile(f"{name}: its header and its pixels have different sizes")
            # To whole pixels of what was decoded: the crop moves by half a reduction at most.
            box = Box(*(round(side / reduction) for side in box))
        part = image[box.y : box.y + box.height, box.x : box.x + box.width]
        if config.decoding == "fast":
            return resize_fast(part, size)
        return np.asarray(Image.fromarray(part).resize((size, size), FILTERS["bilinear"]))


def evaluation_image(
    encoded: NDArray[np.uint8],
    name: str,
    test: ScoringConfig,
    orientation: Orientation | None = None,
) -> Picture:
    """The centre crop (size, size, 3) in RGB of a file's bytes, as published scores are taken.

    The EXIF orientation is ignored, as in ImageNet's protocol, unless `orientation` says upright.

    Raises:
        DamagedFile: the bytes are not a whole picture.
    """
    image = pictures.decode(encoded, name, orientation=orientation)
    return center_crop(image, test.input_size, test.crop, test.interpolation)
