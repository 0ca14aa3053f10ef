"""Label maps of every kind of file, and what is said about those that do not fit."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from common.errors import DamagedFile, UserError
from tasks.segmentation.labels import IGNORED, LabelReader
from tasks.segmentation.palette import VOC_CLASSES, colours_of, voc_colours, write_labels
from tests.tasks.segmentation import small

PALETTE = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def refused(reader, path, *words):
    with pytest.raises(UserError) as caught:
        reader.read(path)
    line = str(caught.value)
    assert "\n" not in line
    for word in (path, *words):
        assert str(word) in line
    return caught.value


def test_the_first_colours_are_those_of_voc():
    colours = voc_colours().tolist()
    assert colours[:9] == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128],
        [0, 128, 128], [128, 128, 128], [64, 0, 0],
    ]  # fmt: skip
    assert colours[15] == [192, 128, 128]  # person
    assert colours[20] == [0, 64, 128]  # tvmonitor
    assert colours[255] == [224, 224, 192]  # void
    assert len(VOC_CLASSES) == 21


def test_a_palette_png_is_read_as_its_indices(tmp_path):
    truth = small.labels(0)
    write_labels(tmp_path / "a.png", truth, voc_colours())
    assert Image.open(tmp_path / "a.png").mode == "P"
    assert np.array_equal(LabelReader(3).read(tmp_path / "a.png"), truth)


@pytest.mark.parametrize("kind", ["L", "I;16", "I"])
def test_grey_files_of_all_depths_hold_values(tmp_path, kind):
    truth = small.labels(1)
    dtype = {"L": np.uint8, "I;16": np.uint16, "I": np.int32}[kind]
    path = tmp_path / ("a.tif" if kind == "I" else "a.png")
    Image.fromarray(truth.astype(dtype)).save(path)
    assert np.array_equal(LabelReader(3).read(path), truth)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_grey(path, values, bits):
    """A grey PNG of few bits, as the standard (ISO 15948) packs it: the first pixel highest."""
    height, width = values.shape
    each = 8 // bits
    padded = np.pad(values, ((0, 0), (0, -width % each))).reshape(height, -1, each)
    packed = (padded << (bits * np.arange(each)[::-1])).sum(axis=2).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_files_of_few_bits_hold_values_too(tmp_path, bits):
    truth = np.random.default_rng(0).integers(0, 3, (9, 13))
    write_grey(tmp_path / "a.png", truth, bits)
    assert np.array_equal(LabelReader(3).read(tmp_path / "a.png"), truth)
    spread = 255 // (2**bits - 1)  # as viewers show them, and as a palette of greys names them
    palette = tuple((spread * k,) * 3 for k in range(3))
    assert np.array_equal(LabelReader(3, palette=alone(palette)).read(tmp_path / "a.png"), truth)


@pytest.mark.parametrize("palette", [(), ((0, 0, 0), (128, 0, 0), (0, 128, 0))])
def test_fractions_are_no_class_numbers(tmp_path, palette):
    path = tmp_path / "a.tif"
    Image.fromarray(small.labels(1).astype(np.float32) / 2).save(path)
    refused(LabelReader(3, palette=alone(palette)), path, "holds fractions", "palette or grey PNG")


def test_a_black_and_white_file_has_classes_0_and_1(tmp_path):
    mask = small.labels(1) == 1
    Image.fromarray(mask).save(tmp_path / "a.png")
    assert np.array_equal(LabelReader(2).read(tmp_path / "a.png"), mask)


def test_a_mat_file_of_sbd(tmp_path):
    truth = np.where(small.labels(2) == 255, 0, small.labels(2))
    small.save_mat(tmp_path / "a.mat", truth)
    assert np.array_equal(LabelReader(3).read(tmp_path / "a.mat"), truth)


def test_another_ignore_index(tmp_path):
    stored = np.array([[0, 1, 11], [2, 11, 0]], dtype=np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    found = LabelReader(11, ignore_index=11).read(tmp_path / "a.png")
    assert found.tolist() == [[0, 1, IGNORED], [2, IGNORED, 0]]
    # 0 as the value to ignore, as in ADE20K, whose classes begin with 1.
    found = LabelReader(3, ignore_index=0, values=alone((1, 2, 11))).read(tmp_path / "a.png")
    assert found.tolist() == [[IGNORED, 0, 2], [1, 2, IGNORED]]


def test_values_of_their_own(tmp_path):
    """Cityscapes' official files number 34 classes, of which 19 are scored."""
    stored = np.array([[7, 8, 11], [0, 33, 255]], dtype=np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    reader = LabelReader(3, values=alone((7, 8, 11)), unknown="ignore")
    assert reader.read(tmp_path / "a.png").tolist() == [[0, 1, 2], [IGNORED] * 3]


def alone(entries):
    """One entry a class."""
    return [[entry] for entry in entries]


def test_several_values_and_colours_may_be_one_class(tmp_path):
    stored = np.array([[7, 26, 8], [0, 33, 255]], dtype=np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    reader = LabelReader(2, values=[[7, 8, 33], [26]], unknown="ignore")
    assert reader.read(tmp_path / "a.png").tolist() == [[0, 1, 0], [IGNORED, 0, IGNORED]]
    assert reader.marked(tmp_path / "a.png").tolist() == [[0, 1, 0], [254, 0, IGNORED]]
    red, dark, blue, void = (255, 0, 0), (128, 0, 0), (0, 0, 255), (1, 1, 2)
    Image.fromarray(np.array([[red, blue, void, dark]], np.uint8)).save(tmp_path / "b.png")
    reader = LabelReader(2, palette=[[red, dark], [blue]], unknown="ignore")
    assert reader.read(tmp_path / "b.png").tolist() == [[0, 1, IGNORED, 0]]
    Image.fromarray(np.array([[0, 1, 128, 255]], np.uint8)).save(tmp_path / "c.png")
    reader = LabelReader(2, palette=[[(0,) * 3], [(1,) * 3, (128,) * 3, (255,) * 3]])
    assert reader.read(tmp_path / "c.png").tolist() == [[0, 1, 1, 1]]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_palette_turns_colours_back_into_classes(tmp_path_factory, data):
    colour = st.tuples(*[st.integers(0, 255)] * 3)
    palette = data.draw(st.lists(colour, min_size=2, max_size=30, unique=True))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    truth = generator.integers(0, len(palette), (5, 7)).astype(np.uint8)
    path = tmp_path_factory.mktemp("masks") / "a.png"
    Image.fromarray(np.array(palette, np.uint8)[truth]).save(path)
    assert np.array_equal(LabelReader(len(palette), palette=alone(palette)).read(path), truth)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA"])
@pytest.mark.parametrize("palette", [((0, 0, 0), (255,) * 3), ((255,) * 3, (0, 0, 0))])
def test_black_and_white_are_the_same_however_they_are_stored(tmp_path, mode, palette):
    white = np.array([[0, 1, 1], [0, 0, 1]])
    Image.fromarray((255 * white).astype(np.uint8)).convert(mode).save(tmp_path / "a.png")
    found = LabelReader(2, palette=alone(palette)).read(tmp_path / "a.png")
    assert np.array_equal(found, white if palette[0][0] == 0 else 1 - white)


def test_grey_masks_beside_a_grey_palette_may_be_void(tmp_path):
    Image.fromarray(np.array([[0, 128, 255]], np.uint8)).save(tmp_path / "a.png")
    reader = LabelReader(2, palette=alone([(0, 0, 0), (128,) * 3]))
    assert reader.read(tmp_path / "a.png").tolist() == [[0, 1, IGNORED]]


def test_a_class_that_would_be_ignored_as_a_whole():
    with pytest.raises(UserError, match=r"--data\.ignore_index 255: is also .* class number 1"):
        LabelReader(2, values=alone((0, 255)))
    with pytest.raises(UserError, match=r"--data\.ignore_index 0: is also .* class number 0"):
        LabelReader(3, ignore_index=0)
    LabelReader(2, values=alone((0, 255)), ignore_index=254)


def test_with_a_palette_the_colours_of_a_palette_png_count(tmp_path):
    """A program that saves indexed colours numbers them as it likes."""
    truth = np.array([[0, 2], [1, 2]], dtype=np.uint8)
    mask = Image.fromarray(np.array(PALETTE, np.uint8)[truth]).quantize(8)
    mask.save(tmp_path / "a.png")
    assert not np.array_equal(np.asarray(mask), truth)
    assert np.array_equal(LabelReader(3, palette=alone(PALETTE)).read(tmp_path / "a.png"), truth)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_where_numbers_are_expected(tmp_path, mode):
    mask = Image.fromarray(np.array(PALETTE, np.uint8)[[[0, 1], [2, 1]]]).convert(mode)
    mask.save(tmp_path / "a.png")
    refused(
        LabelReader(3), tmp_path / "a.png", "colour picture", mode, "--data.palette '[[0, 0, 0]"
    )
    found = LabelReader(3, palette=alone(PALETTE)).read(tmp_path / "a.png")
    assert found.tolist() == [[0, 1], [2, 1]]


def test_a_colour_that_the_palette_lacks(tmp_path):
    colours = np.array([*PALETTE, (224, 224, 192)], np.uint8)
    Image.fromarray(colours[[[0, 1], [3, 2]]]).save(tmp_path / "a.png")
    refused(
        LabelReader(3, palette=alone(PALETTE)), tmp_path / "a.png",
        "1 colours", "[224, 224, 192]", "25 %", "--data.unknown ignore",
    )  # fmt: skip
    reader = LabelReader(3, palette=alone(PALETTE), unknown="ignore")
    assert reader.read(tmp_path / "a.png").tolist() == [[0, 1], [IGNORED, 2]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_label_beyond_the_classes(tmp_path, dtype):
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, 21], [20, 255]], dtype=dtype)).save(path)
    error = refused(
        LabelReader(21), path,
        "label value 21", "25 %", "21 classes have 0 to 20", "255 is ignored", "--data.classes",
    )  # fmt: skip
    # A mistake in the config is never skipped as if a file were damaged.
    assert not isinstance(error, DamagedFile)
    reader = LabelReader(21, unknown="ignore")
    assert reader.read(path).tolist() == [[0, IGNORED], [20, IGNORED]]


@pytest.mark.parametrize(
    "reader",
    [
        LabelReader(2, 254, values=[[0], [255]]),
        LabelReader(2, palette=[[(0, 0, 0)], [(255, 0, 0)]]),
    ],
)
def test_a_jpeg_is_blamed_for_values_of_no_class(tmp_path, reader):
    mask = np.zeros((64, 64), np.uint8)
    mask[5:41, 9:50] = 255
    colours = np.dstack([mask, np.zeros((64, 64, 2), np.uint8)])
    Image.fromarray(colours if len(reader.codes) else mask).save(tmp_path / "a.JPG", "jpeg")
    refused(reader, tmp_path / "a.JPG", "a JPEG changes values: take label maps that were saved as")


def test_values_that_do_not_fit_in_a_byte(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 300], [256, 1]], dtype=np.uint16)).save(path)
    refused(LabelReader(2), path, "label value 256, 300")
    reader = LabelReader(2, unknown="ignore")
    assert reader.read(path).tolist() == [[0, IGNORED], [IGNORED, 1]]


def test_files_that_are_missing_cut_short_or_something_else(tmp_path):
    reader = LabelReader(3)
    write_labels(tmp_path / "a.png", small.labels(0), voc_colours())
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:120])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.mat").write_text("no labels, but longer than the header of such a file" * 4)
    for name in ("none.png", "none.mat"):
        assert isinstance(refused(reader, tmp_path / name, "no such label map"), DamagedFile)
    for name in ("cut.png", "text.png", "empty.png"):
        error = refused(reader, tmp_path / name, "cannot be read as a label map")
        assert isinstance(error, DamagedFile)
    small.save_mat(tmp_path / "whole.mat", small.labels(0))
    whole = (tmp_path / "whole.mat").read_bytes()
    for length in (0, 60, 150, len(whole) // 2, len(whole) - 9):
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        assert isinstance(refused(reader, tmp_path / "cut.mat", "SBD"), DamagedFile)
    savemat(tmp_path / "other.mat", {"GTinst": 1})
    for name in ("text.mat", "other.mat"):
        assert isinstance(refused(reader, tmp_path / name, "SBD"), DamagedFile)


def _chunk(kind, content):
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@pytest.mark.filterwarnings("error")
def test_a_label_map_of_an_aerial_picture(tmp_path):
    """Beyond 179 megapixels, where Pillow sees an attack; of one bit, so that the file is small."""
    side = 13_500
    packer = zlib.compressobj(1)
    row = b"\0\xf0" + bytes((side + 7) // 8 - 1)
    data = b"".join(packer.compress(row * 500) for _ in range(side // 500)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    path = tmp_path / "aerial.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    labels = LabelReader(2).read(path)
    assert labels.shape == (side, side)
    assert labels[::1000, :6].tolist() == [[1, 1, 1, 1, 0, 0]] * 14


def test_a_palette_is_drawn_with(tmp_path):
    colours = colours_of((((1, 2, 3), (9, 9, 9)), ((4, 5, 6),)))
    assert colours[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.array_equal(colours[2:], voc_colours()[2:])
    with pytest.raises(UserError, match="cannot be written"):
        write_labels(tmp_path / "none" / "a.png", small.labels(0), colours)
