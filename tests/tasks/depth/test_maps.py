"""Depth maps of every kind that people have, and those that cannot be meant: one line each."""

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile
from tasks.depth.config import DataConfig
from tasks.depth.maps import read_depth
from tests.tasks.depth import small

METRES = small.depth(1)


def save(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "scale", "given"),
    [
        ("a.png", np.uint16, 1000, None),
        ("a.png", np.uint16, 5000, 5000.0),
        ("a.npy", np.uint16, 1000, None),
        ("a.npy", np.float32, 1, None),
        ("a.npy", np.float64, 1000, 1000.0),
        ("a.tiff", np.float32, 1, None),
        ("a.pfm", np.float32, 1, None),
    ],
)
def test_whole_numbers_are_millimetres_and_others_metres(tmp_path, name, kind, scale, given):
    values = METRES * scale
    values = np.round(values) if kind is np.uint16 else values
    path = save(tmp_path / name, values.astype(kind))
    found = read_depth(path, DataConfig(depth_scale=given))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, METRES, atol=0.6 / scale if kind is np.uint16 else 1e-6)
    assert ((found == 0) == (METRES == 0)).all()


def test_what_is_no_number_is_a_hole(tmp_path):
    values = METRES.copy()
    values[0, :5] = np.nan
    found = read_depth(save(tmp_path / "a.npy", values), DataConfig())
    assert (found[0, :5] == 0).all() and (found[0, 5:] > 0).all()


def test_eight_bits_that_are_meant_so(tmp_path):
    """As Hu's training depth: 255 is 10 m."""
    path = save(tmp_path / "a.png", np.round(METRES * 25.5).astype(np.uint8))
    np.testing.assert_allclose(read_depth(path, DataConfig(depth_scale=25.5)), METRES, atol=0.02)


def changed(value):
    values = METRES.copy()
    values[2, 3] = value
    return values


BAD = {
    "8 bits": ("a.png", np.full((4, 5), 90, np.uint8), "has 8 bits, which reach 0.255 m"),
    "colours": ("a.png", np.zeros((4, 5, 3), np.uint8), "is it a coloured picture of depth"),
    "metres in whole numbers": ("a.png", np.round(METRES).astype(np.uint16), "nearer than 1%"),
    "all holes": ("a.png", np.zeros((4, 5), np.uint16), "no measurement at all"),
    "all beyond": ("a.npy", METRES * 1000, "all of it beyond --data.max_depth 10"),
    "negative": ("a.npy", changed(-1), "1 values are negative"),
    "infinite": ("a.npy", changed(np.inf), "1 values are infinite"),
    "several layers": ("a.npy", np.ones((3, 4, 5)), "float64 of shape [3, 4, 5]"),
    "texts": ("a.npy", np.array([["a", "b"]]), "where a depth map has one number"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_meant_is_one_line(tmp_path, kind):
    name, values, said = BAD[kind]
    path = save(tmp_path / name, values)
    with pytest.raises(DamagedFile) as caught:
        read_depth(path, DataConfig())
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_damaged_and_missing_files(tmp_path, name):
    with pytest.raises(DamagedFile, match="no such file"):
        read_depth(tmp_path / name, DataConfig())
    values = np.round(METRES * 1000).astype(np.uint16)
    whole = save(tmp_path / name, values).read_bytes()
    for length in (0, 5, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(DamagedFile) as caught:
            read_depth(tmp_path / name, DataConfig())
        assert "\n" not in str(caught.value)


def test_depth_is_turned_as_its_own_file_says(tmp_path):
    values = np.round(METRES * 1000).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    stored = read_depth(tmp_path / "a.png", DataConfig())
    upright = read_depth(tmp_path / "a.png", DataConfig(orientation="upright"))
    np.testing.assert_array_equal(upright, np.rot90(stored, -1))
