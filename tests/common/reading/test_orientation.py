"""All eight orientations of EXIF, in each format that states them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from common.reading import image as pictures
from common.reading import orientation
from common.reading.annotations import read_picture
from tests.common.reading.refusal import refused

FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}


@pytest.fixture
def scene():
    """A picture (10, 14, 3) that no turn and no mirroring leaves equal."""
    rows, columns = np.mgrid[0:10, 0:14]
    return np.stack([rows * 20, columns * 17, rows * 9 + columns * 5], axis=-1).astype(np.uint8)


def encoded(scene, format_, number):
    """Bytes (N,) of a stored picture that states an orientation."""
    exif = Image.Exif()
    exif[0x0112] = number
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, format_, exif=exif, **FORMATS[format_])
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("format_", FORMATS)
def test_a_picture_is_seen_as_stored_or_as_viewers_turn_it(scene, format_, number):
    data = encoded(scene, format_, number)
    assert orientation.of(data) == number
    # Pillow turns a TIFF itself on opening, the others when it is asked to.
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data.tobytes()))))
    stored = pictures.decode(data, "a")
    assert stored.shape == scene.shape
    assert np.abs(stored.astype(int) - scene).max() <= 12
    found = pictures.decode(data, "a", orientation="upright")
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= 3


@pytest.mark.parametrize("number", range(1, 9))
def test_a_turned_picture_is_the_one_that_was_turned_back(scene, number):
    exif = Image.Exif()
    exif[0x0112] = number
    picture = Image.fromarray(scene)
    picture.info["exif"] = exif.tobytes()
    picture.getexif().update(exif)
    expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(orientation.turned(scene, number), expected)


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(scene, number):
    assert orientation.of(encoded(scene, "JPEG", number)) == 1


@pytest.mark.parametrize("format_", FORMATS)
def test_damage_in_a_header_states_no_orientation_and_stops_nothing(scene, format_):
    data = encoded(scene, format_, 6)
    for length in range(0, min(len(data), 200)):
        assert orientation.of(data[:length]) in range(1, 9)
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = data.copy()
        damaged[rng.integers(0, min(len(data), 120), 4)] = rng.integers(0, 256, 4)
        assert orientation.of(damaged) in range(1, 9)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("format_", FORMATS)
def test_sizes_are_those_of_the_picture_as_it_is_read(tmp_path, scene, format_, number):
    path = tmp_path / "a"
    encoded(scene, format_, number).tofile(path)
    assert orientation.of_file(path) == number
    for chosen in ("stored", "upright", None):
        assert pictures.size(path, chosen) == pictures.read(path, orientation=chosen).shape[:2]


@pytest.mark.parametrize("number", range(1, 9))
def test_what_people_give_is_seen_upright_unless_they_say_stored(tmp_path, scene, number):
    path = tmp_path / "a.png"
    encoded(scene, "PNG", number).tofile(path)
    for chosen in ("upright", None):
        expected = pictures.read(path, orientation="upright")
        np.testing.assert_array_equal(pictures.shown(path, chosen), expected)
    np.testing.assert_array_equal(pictures.shown(path, "stored"), scene)


def test_an_annotated_picture_on_its_side_names_the_flag(tmp_path, scene):
    path = tmp_path / "a.jpg"
    encoded(scene, "JPEG", 6).tofile(path)
    file = tmp_path / "instances.json"
    assert read_picture(path, 14, 10, file, "RGB", "upright").shape == (14, 10, 3)
    refused("say --data.orientation upright", read_picture, path, 14, 10, file, "RGB", None)
    refused("say --data.orientation stored", read_picture, path, 10, 14, file, "RGB", "upright")


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (None, "say which way the annotations count: --data.orientation stored or upright"),
        ("stored", "pixels are taken as stored"),
        ("upright", "pictures are turned upright"),
    ],
)
def test_a_set_with_orientations_is_told_in_one_line(tmp_path, scene, capsys, chosen, told):
    for place, number in enumerate((1, 3, 3, 8, 1)):
        encoded(scene, "JPEG", number).tofile(tmp_path / f"{place}.jpg")
    files = sorted(tmp_path.iterdir())
    orientation.report([*files, tmp_path / "missing.jpg"], chosen)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "3 of 6 pictures have an EXIF orientation other than 1 (2 of 3, 1 of 8; first: " in said
    assert str(files[1]) in said
    assert told in said


def test_a_set_of_upright_pictures_is_read_in_silence(tmp_path, scene, capsys):
    encoded(scene, "JPEG", 1).tofile(tmp_path / "a.jpg")
    orientation.report([tmp_path / "a.jpg"], None)
    orientation.report([], None)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("number", range(1, 9))
def test_values_of_any_type_are_turned_like_a_picture(scene, kind, number):
    values = scene[:, :, 0].astype(kind)
    turned = orientation.turned(values, number)
    assert turned.dtype == kind
    np.testing.assert_array_equal(turned, orientation.turned(scene, number)[:, :, 0])
