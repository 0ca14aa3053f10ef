"""Damage inside a JPEG is an error by name, what is sound is read as OpenCV reads it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile
from common.reading import image as pictures

_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@pytest.fixture(scope="module")
def scene():
    """A picture (241, 319, 3) with a gradient and noise."""
    rows, columns = np.mgrid[0:241, 0:319]
    smooth = np.stack([columns % 256, rows, (rows + columns) % 256], axis=-1)
    noise = np.random.default_rng(0).integers(0, 20, smooth.shape)
    return Image.fromarray((smooth + noise).astype(np.uint8))


def encoded(scene, **options):
    stream = io.BytesIO()
    scene.save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def decode(data, **options):
    return pictures.decode(np.frombuffer(data, np.uint8), "a.jpg", **options)


def zeros_inside(data):
    middle = len(data) // 2
    return data[:middle] + bytes(600) + data[middle + 600 :]


def half_and_an_end(data):
    return data[: len(data) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("damage", [zeros_inside, half_and_an_end])
@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_damage_inside_is_an_error_in_the_decoders_words(scene, damage, options):
    with pytest.raises(DamagedFile, match=r"^a\.jpg: the picture is .*\((Corrupt|Premature|zeros)"):
        decode(damage(encoded(scene, **options)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("reduction", [1, 8])
def test_missing_scans_of_a_progressive_picture_are_an_error(scene, share, reduction):
    data = encoded(scene, progressive=True)
    with pytest.raises(DamagedFile, match=r"^a\.jpg: "):
        decode(data[: int(len(data) * share)] + b"\xff\xd9", reduction=reduction)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_any_missing_part_is_an_error(scene, share):
    data = encoded(scene)
    place = int(len(data) * share)
    with pytest.raises(DamagedFile, match=r"^a\.jpg: "):
        decode(data[:place] + data[place + 3000 :])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_sound_pictures_are_those_of_opencv(
    scene, mode, progressive, subsampling, reduction, colour
):
    data = encoded(scene.convert(mode), progressive=progressive, subsampling=subsampling)
    found = decode(data, colour=colour, reduction=reduction)
    flags = cv2.IMREAD_COLOR if reduction == 1 else _REDUCED[reduction]
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(found, expected if colour == "BGR" else expected[:, :, ::-1])


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
@pytest.mark.parametrize("count", [40, 200, 600, 3000])
def test_zeros_that_a_decoder_takes_for_codes_are_an_error(scene, share, count):
    data = encoded(scene)
    place = int(len(data) * share)
    with pytest.raises(DamagedFile, match=r"^a\.jpg: the picture is damaged"):
        decode(data[:place] + bytes(count) + data[place + count :])


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_zeros_of_even_pictures_and_of_headers_are_no_damage(mode, level, options):
    even = Image.new("RGB", (640, 480), (level, level, level)).convert(mode)
    data = encoded(even, exif=b"Exif\0\0" + bytes(500), comment=bytes(500), **options)
    assert (decode(data + bytes(5000)) == level).all()


@pytest.mark.parametrize("count", [1, 16])
def test_bytes_that_encoders_leave_before_the_end_are_no_damage(scene, count):
    data = encoded(scene)
    np.testing.assert_array_equal(decode(data[:-2] + bytes(count) + data[-2:]), decode(data))


def test_chroma_sampled_in_a_rare_way_is_read(scene):
    data = encoded(scene, subsampling=2)
    frame = data.index(b"\xff\xc0")
    rare = bytearray(data)
    rare[frame + 14] = 0x21  # the second component is sampled twice in width, the third once
    assert decode(bytes(rare)).shape == (241, 319, 3)
