"""Colours that are hidden in a picture are not seen in it."""

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile
from common.reading import image as pictures


@pytest.fixture
def stored():
    """Colours and opacity (12, 16, 4): hidden left, half seen above right."""
    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    picture[:, :8, 3], picture[:4, 8:, 3], picture[4:, 8:, 3] = 0, 128, 255
    return picture


def save(path, array, turn=1, **options):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(array).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("turn", [1, 6])
def test_hidden_colours_are_white_and_all_others_as_stored(tmp_path, stored, suffix, turn):
    path = save(tmp_path / f"a.{suffix}", stored, turn, lossless=True, exact=True)
    expected = stored[:, :, :3].copy()
    np.testing.assert_array_equal(pictures.read(path), expected)
    expected[:, :8] = 255
    turned = (lambda array: array) if turn == 1 else (lambda array: np.rot90(array, -1))
    np.testing.assert_array_equal(pictures.shown(path), turned(expected))
    np.testing.assert_array_equal(pictures.shown_opacity(path), turned(stored[:, :, 3]))


def test_a_colour_of_a_palette_may_be_transparent(tmp_path):
    indices = np.tile(np.array([0, 1, 2], np.uint8), (5, 4))
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([9, 9, 9, 70, 80, 90, 1, 2, 3])
    picture.save(tmp_path / "a.png", transparency=1)
    assert pictures.shown(tmp_path / "a.png")[0, :3].tolist() == [[9] * 3, [255] * 3, [1, 2, 3]]
    assert pictures.shown_opacity(tmp_path / "a.png")[0, :3].tolist() == [255, 0, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_pictures_without_transparency_are_as_they_are_read(tmp_path, stored, mode, suffix):
    grey = stored[:, :, 0]
    array = {"L": grey, "RGB": stored[:, :, :3], "I;16": grey.astype(np.uint16) * 257}[mode]
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(array))
    assert pictures.shown_opacity(path) is None
    np.testing.assert_array_equal(pictures.shown(path), pictures.read(path))


def test_a_fourth_band_of_a_tiff_hides_nothing(tmp_path, stored):
    path = save(tmp_path / "near_infrared.tif", stored)
    np.testing.assert_array_equal(pictures.shown(path), stored[:, :, :3])


def test_a_picture_that_is_damaged_is_an_error_in_both(tmp_path, stored):
    path = save(tmp_path / "a.png", stored)
    path.write_bytes(path.read_bytes()[:-90])
    for read in (pictures.shown, pictures.shown_opacity):
        with pytest.raises(DamagedFile, match=f"^{path}: "):
            read(path)
