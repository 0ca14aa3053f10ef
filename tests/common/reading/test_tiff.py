"""Bands of TIFF and PNG: red, green and blue as they are stored, whatever the others hold."""

import io

import cv2
import numpy as np
import pytest
import tifffile

from common.errors import DamagedFile
from common.reading import image as pictures

FURTHER = ["unspecified", "assocalpha", "unassalpha"]


def bands(count, depth):
    """Bands (40, 50, count) over the whole range of a depth."""
    values = np.random.default_rng(count).integers(0, 2**depth, (40, 50, count))
    return values.astype(np.uint8 if depth == 8 else np.uint16)


def eight_bits(stored):
    return np.round(stored / (1 if stored.dtype == np.uint8 else 257)).astype(np.uint8)


def tiff(stored, *, separate=False, **options):
    """Bytes (N,) of a TIFF."""
    ordered = np.moveaxis(stored, 2, 0).copy() if separate else stored
    stream = io.BytesIO()
    if stored.shape[2] > 1:
        options["planarconfig"] = "separate" if separate else "contig"
    tifffile.imwrite(stream, ordered.squeeze(), **options)
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.mark.parametrize("further", FURTHER)
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"byteorder": ">"}, {"bigtiff": True}])
def test_a_fourth_band_changes_no_colour(depth, separate, further, options):
    stored = bands(4, depth)
    stored[:10, :, 3] = 0
    data = tiff(stored, separate=separate, photometric="rgb", extrasamples=[further], **options)
    before = data.copy()
    np.testing.assert_array_equal(pictures.decode(data, "a"), eight_bits(stored[:, :, :3]))
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_bands_that_are_called_grey_are_red_green_and_blue(depth, count, options):
    stored = bands(count, depth)
    further = ["unspecified"] * (count - 1)
    data = tiff(stored, photometric="minisblack", extrasamples=further, **options)
    np.testing.assert_array_equal(pictures.decode(data, "a"), eight_bits(stored[:, :, :3]))


@pytest.mark.parametrize("further", FURTHER)
@pytest.mark.parametrize("depth", [8, 16])
def test_a_second_band_changes_no_grey(depth, further):
    stored = bands(2, depth)
    data = tiff(stored, photometric="minisblack", extrasamples=[further])
    difference = pictures.decode(data, "a") - eight_bits(stored[:, :, :1]).astype(int)
    assert np.abs(difference).max() <= (1 if depth == 16 else 0)  # libtiff rounds once more


@pytest.mark.parametrize("depth", [8, 16])
def test_one_band_is_grey(depth):
    stored = bands(1, depth)
    found = pictures.decode(tiff(stored, photometric="minisblack"), "a")
    np.testing.assert_array_equal(found, np.repeat(eight_bits(stored), 3, axis=2))


def test_more_bands_are_refused_by_name():
    data = tiff(bands(5, 8), photometric="rgb", extrasamples=["unspecified"] * 2)
    with pytest.raises(DamagedFile, match=r"^a\.tif: is a TIFF of 5 bands; up to 4 are read"):
        pictures.decode(data, "a.tif")


@pytest.mark.parametrize("count", [1, 3, 4])
def test_png_of_sixteen_bits_and_of_four_bands(count):
    stored = bands(count, 16)
    encoded = cv2.imencode(".png", stored)[1].ravel()
    expected = np.repeat(stored, 3, axis=2) if count == 1 else stored[:, :, 2::-1]
    np.testing.assert_array_equal(pictures.decode(encoded, "a"), eight_bits(expected))


def test_a_damaged_header_is_refused_or_read_and_never_a_crash():
    data = tiff(bands(4, 8), photometric="rgb", extrasamples=["unassalpha"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = data.copy()
        damaged[rng.integers(0, 300, 3)] = rng.integers(0, 256, 3)
        try:
            assert pictures.decode(damaged, "a").ndim == 3
        except DamagedFile as error:
            assert str(error).startswith("a: ")
