import io

import cv2
import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from common.reading import image as pictures


@pytest.fixture
def scene():
    """A smooth picture (48, 64, 3), so that JPEG keeps it nearly."""
    rows, columns = np.mgrid[0:48, 0:64]
    planes = (rows * 5, columns * 3, 255 - rows * 2 - columns)
    return np.stack(planes, axis=-1).astype(np.uint8)


def jpeg(scene, **options):
    stream = io.BytesIO()
    Image.fromarray(scene).save(stream, "JPEG", quality=95, subsampling=0, **options)
    return stream.getvalue()


def test_colour_order(tmp_path, scene):
    path = tmp_path / "scene.png"
    Image.fromarray(scene).save(path)
    np.testing.assert_array_equal(pictures.read(path), scene)
    np.testing.assert_array_equal(pictures.read(path, "BGR"), scene[:, :, ::-1])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_other_colour_models_of_png(tmp_path, scene, mode):
    stored = Image.fromarray(scene).convert(mode)
    stored.save(tmp_path / "picture.png")
    expected = np.asarray(stored.convert("RGB"))
    np.testing.assert_array_equal(pictures.read(tmp_path / "picture.png"), expected)


def test_sixteen_bits_become_eight(tmp_path, scene):
    grey = scene[:, :, 0].astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "deep.png")
    expected = np.repeat(scene[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(pictures.read(tmp_path / "deep.png"), expected)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_other_colour_models_of_jpeg(tmp_path, scene, mode):
    stored = Image.fromarray(scene).convert(mode)
    stored.save(tmp_path / "picture.jpg", quality=98)
    with Image.open(tmp_path / "picture.jpg") as reopened:
        expected = np.asarray(reopened.convert("RGB")).astype(int)
    found = pictures.read(tmp_path / "picture.jpg")
    assert np.abs(found - expected).mean() < 4
    assert found.shape == scene.shape
    assert found.dtype == np.uint8


@pytest.mark.parametrize("progressive", [False, True])
def test_every_cut_through_a_jpeg_is_noticed(tmp_path, scene, progressive):
    whole = jpeg(scene, progressive=progressive)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole)
    assert pictures.read(path).shape == scene.shape
    for length in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFile, match="^" + str(path)):
            pictures.read(path)


def test_an_embedded_preview_does_not_hide_a_cut(tmp_path, scene):
    preview = jpeg(scene[::4, ::4])
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = jpeg(scene)
    whole = whole[:2] + segment + whole[2:]
    path = tmp_path / "preview.jpg"
    path.write_bytes(whole)
    assert pictures.read(path).shape == scene.shape
    for length in (len(segment) + 2, len(segment) + 40, len(whole) // 2 + 300, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            pictures.read(path)


@pytest.mark.parametrize("tail", [b"\0" * 700, b"\xff\xda\0\x08 a film that a phone appended"])
def test_data_behind_a_jpeg_is_no_damage(tmp_path, scene, tail):
    path = tmp_path / "phone.jpg"
    path.write_bytes(jpeg(scene) + tail)
    assert pictures.read(path).shape == scene.shape


def test_a_cut_png_is_noticed(tmp_path, scene):
    path = tmp_path / "cut.png"
    Image.fromarray(scene).save(path)
    whole = path.read_bytes()
    for length in (8, 40, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFile, match="cut short"):
            pictures.read(path)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_changed_byte_inside_a_png_is_noticed(tmp_path, scene, place):
    path = tmp_path / "changed.png"
    Image.fromarray(scene).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[int(len(damaged) * place)] ^= 0x55
    path.write_bytes(damaged)
    with pytest.raises(DamagedFile, match=f"^{path}: "):
        pictures.read(path)


@pytest.mark.parametrize("format_", ["BMP", "GIF", "TIFF", "WEBP"])
def test_a_cut_is_noticed_in_every_format(tmp_path, scene, format_):
    path = tmp_path / f"cut.{format_}"
    Image.fromarray(scene).save(path, format_)
    whole = path.read_bytes()
    assert pictures.read(path).shape == scene.shape
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(DamagedFile, match=f"^{path}: "):
            pictures.read(path)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"<html>not found</html>", "not a picture")]
)
def test_a_file_that_is_no_picture(tmp_path, content, reason):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"^{path}: .*{reason}"):
        pictures.read(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DamagedFile, match=r"none\.jpg: no such file"):
        pictures.read(tmp_path / "none.jpg")
    with pytest.raises(DamagedFile, match="cannot be read"):
        pictures.read(tmp_path)


@pytest.mark.filterwarnings("error")
def test_the_size_of_a_picture_of_any_size(tmp_path):
    path = tmp_path / "aerial.bmp"
    Image.new("L", (1, 1)).save(path)
    header = bytearray(path.read_bytes())
    header[18:26] = (40_000).to_bytes(4, "little") + (30_000).to_bytes(4, "little")
    path.write_bytes(header)
    assert pictures.size(path) == (30_000, 40_000)


def test_write_takes_rgb(tmp_path, scene):
    pictures.write(tmp_path / "scene.png", scene)
    with Image.open(tmp_path / "scene.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), scene)


def test_write_takes_transparency_and_grey(tmp_path, scene):
    alpha = np.dstack([scene, scene[:, :, 0]])
    pictures.write(tmp_path / "alpha.png", alpha)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "alpha.png")), alpha)
    pictures.write(tmp_path / "grey.png", scene[:, :, 1])
    written = Image.open(tmp_path / "grey.png")
    assert written.mode == "L"
    np.testing.assert_array_equal(np.asarray(written), scene[:, :, 1])
    with pytest.raises(UserError, match=r"alpha\.jpg: this format has no transparency"):
        pictures.write(tmp_path / "alpha.jpg", alpha)


@pytest.mark.parametrize("name", ["nowhere/scene.png", "scene.unknown"])
def test_write_says_when_it_cannot(tmp_path, scene, name):
    with pytest.raises(UserError, match=name):
        pictures.write(tmp_path / name, scene)


def test_list_images(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", "inner/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "._b.JPG").touch()  # macOS leaves one beside each picture
    (tmp_path / "folder.jpg").mkdir()
    named = tmp_path / "inner" / "c.png"
    found = pictures.list_images([named, tmp_path, tmp_path / "a.png"])
    assert [path.name for path in found] == ["c.png", "a.png", "b.JPG"]


def test_list_images_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match="no picture in this folder"):
        pictures.list_images([tmp_path])
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        pictures.list_images([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no pictures given"):
        pictures.list_images([])


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_reduced_jpeg_is_about_the_mean_of_the_pixels(scene, colour, reduction):
    encoded = np.frombuffer(jpeg(scene), np.uint8)
    small = pictures.decode(encoded, "scene.jpg", colour, reduction=reduction)
    blocks = scene[:, :, :: 1 if colour == "RGB" else -1].astype(float)
    height, width = 48 // reduction, 64 // reduction
    blocks = blocks.reshape(height, reduction, width, reduction, 3).mean(axis=(1, 3))
    assert small.shape == (height, width, 3)
    assert np.abs(small - blocks).mean() < 1.5


def test_bytes_are_refused_under_the_name_that_is_given(scene):
    encoded = np.frombuffer(jpeg(scene), np.uint8)
    with pytest.raises(DamagedFile, match=r"^shard\.tar, a\.jpg: the picture is cut short"):
        pictures.decode(encoded[:-200], "shard.tar, a.jpg")
    with pytest.raises(DamagedFile, match=r"^a: is empty"):
        pictures.decode(encoded[:0], "a")


def test_planes_of_a_picture_and_of_a_mirrored_view_of_it():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for seen in (image, image[:, ::-1], image[1:4, 2:5]):
        found = pictures.planes(seen)
        np.testing.assert_array_equal(found, seen.transpose(2, 0, 1))
        assert found.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pfm"])
def test_levels_are_given_as_they_are_stored(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    kind = np.uint16 if suffix == ".png" else np.float32
    levels = (np.arange(12).reshape(3, 4) * 1000).astype(kind)
    assert pictures.cv2.imwrite(str(file), levels)
    found = pictures.stored(file)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, levels)


def test_sixteen_bits_are_written(tmp_path):
    levels = np.array([[0, 1, 65535]], np.uint16)
    pictures.write(tmp_path / "a.png", levels)
    np.testing.assert_array_equal(pictures.stored(tmp_path / "a.png"), levels)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n and no end"])
def test_levels_of_what_is_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"a\.png: "):
        pictures.stored(tmp_path / "a.png")


@pytest.mark.parametrize("kind", [np.int8, np.int16])
@pytest.mark.parametrize("bands", [(), (3,)])
def test_signed_levels_are_refused_but_for_label_maps(tmp_path, kind, bands):
    levels = np.arange(np.prod((8, 8, *bands))).reshape((8, 8, *bands)).astype(kind) - 20
    cv2.imwrite(str(tmp_path / "signed.tif"), levels)
    with pytest.raises(DamagedFile, match=r"signed\.tif: is a TIFF of signed numbers"):
        pictures.read(tmp_path / "signed.tif")
    kept = pictures.stored(tmp_path / "signed.tif")
    assert np.array_equal(kept, levels)
