"""A DICOM series as a volume: sorted by position, in HU, and refused where it is not whole."""

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)

from common.errors import DamagedFile
from tasks.volumes import dicom
from tests.tasks.volumes import small

SERIES = generate_uid()


def write_series(folder, values, spacing, names=None, **changed):
    """Slices (Z, Y, X) in HU: from feet to head, front to back, right to left."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(values):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
            CTImageStorage,
            generate_uid(),
        )
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        one.PatientName, one.SeriesInstanceUID = "DOE^JOHN", SERIES
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.Rows, one.Columns = plane.shape
        one.PixelSpacing = [spacing[1], spacing[2]]
        one.SliceThickness = 99
        one.InstanceNumber = index + 1
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [-40.0, -50.0, 7.0 + index * spacing[0]]
        one.RescaleSlope, one.RescaleIntercept = 2, -2048
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.PixelData = ((plane.astype(int) + 2048) // 2).astype(np.uint16).tobytes()
        for key, value in changed.items():
            setattr(one, key, value(index) if callable(value) else value)
        name = names[index] if names else f"{(index * 7) % 23:03d}.dcm"  # not in their order
        one.save_as(folder / name, enforce_file_format=True)
    return folder


@pytest.fixture
def even():
    values = small.scan(0).values
    return values - values % 2  # what a slope of 2 can hold


def refusal(folder):
    with pytest.raises(DamagedFile) as caught:
        dicom.read(folder)
    assert "\n" not in str(caught.value) and "DOE" not in str(caught.value)
    return str(caught.value)


def test_a_series_is_sorted_by_position_and_is_in_hu(even, tmp_path):
    folder = write_series(tmp_path / "s", even, small.SPACING)
    (folder / "notes.txt").write_text("no slice")
    assert dicom.is_series(folder) and not dicom.is_series(tmp_path)
    found = dicom.read(folder)
    assert np.array_equal(found.values, even)
    assert found.spacing == pytest.approx(small.SPACING)
    # Of the first voxel, in R, A, S: DICOM counts to the left and to the back.
    assert nibabel.affines.apply_affine(found.grid.affine, [0, 0, 0]) == pytest.approx([40, 50, 7])
    assert nibabel.aff2axcodes(found.grid.affine) == ("L", "P", "S")


def test_a_localizer_does_not_count_and_padding_is_air(even, tmp_path):
    folder = write_series(tmp_path / "s", even, small.SPACING, PixelPaddingValue=0)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesInstanceUID": "1.2.3"}
    write_series(folder, even[:1], small.SPACING, ["scout.dcm"], **scout)
    assert dicom.read(folder).values.min() >= -1024


def test_what_is_no_whole_series_is_one_line(even, tmp_path):
    folder = write_series(tmp_path / "gap", even, small.SPACING)
    (folder / "014.dcm").unlink()
    assert "slices 2 and 3 of 5 lie 16 mm apart, the others 8 mm" in refusal(folder)
    other = write_series(tmp_path / "two", even, small.SPACING)
    write_series(other, even, small.SPACING, [f"b{n}" for n in range(6)], SeriesInstanceUID="1.2")
    assert "holds 2 series (6 slices, 6 slices)" in refusal(other)
    twice = write_series(tmp_path / "twice", even, small.SPACING)
    write_series(twice, even, small.SPACING, [f"b{n}" for n in range(6)])
    assert "two slices lie at one place" in refusal(twice)
    tilted = write_series(
        tmp_path / "tilt", even, small.SPACING,
        ImagePositionPatient=lambda n: [-40.0, -50.0 + 2 * n, 8.0 * n],
    )  # fmt: skip
    assert "tilted gantry" in refusal(tilted)
    bare = write_series(tmp_path / "bare", even, small.SPACING, RescaleSlope=None)
    assert "RescaleSlope" in refusal(bare)
    one = write_series(tmp_path / "one", even[:1], small.SPACING)
    assert "holds one slice" in refusal(one)
    broken = write_series(tmp_path / "broken", even, small.SPACING, PixelData=b"\0\0")
    assert "cannot be decoded" in refusal(broken)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"RescaleSlope": 0}, "RescaleSlope"),
        ({"RescaleSlope": "nan"}, "RescaleSlope"),
        ({"PixelSpacing": lambda n: [2.4, 2.6 + (n == 3)]}, "pixels of several sizes"),
        ({"PixelSpacing": 2.4}, "PixelSpacing"),
        ({"ImageOrientationPatient": [0] * 6}, "ImageOrientationPatient"),
        ({"ImagePositionPatient": lambda n: [0, 0, float("nan") if n == 2 else 8 * n]},
         "ImagePositionPatient"),
        ({"Modality": "PT"}, "modality PT"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_numbers_that_make_no_sense_are_one_line(even, tmp_path, changed, message):
    assert message in refusal(write_series(tmp_path / "s", even, small.SPACING, **changed))


@pytest.mark.parametrize("length", [132, 400])
def test_a_slice_whose_header_is_cut_short_is_named(even, tmp_path, length):
    folder = write_series(tmp_path / "s", even, small.SPACING)
    (folder / "007.dcm").write_bytes((folder / "007.dcm").read_bytes()[:length])
    assert "007.dcm: does not tell its series; is it cut short?" in refusal(folder)


@pytest.mark.filterwarnings("ignore")
def test_damaged_headers_are_one_line_or_read(even, tmp_path):
    folder = write_series(tmp_path / "s", even, small.SPACING)
    file = folder / "007.dcm"
    whole = file.read_bytes()
    for seed in range(30):
        generator, content = np.random.default_rng(seed), bytearray(whole)
        for place in generator.integers(132, 900, 8):
            content[place] = generator.integers(256)
        file.write_bytes(content)
        try:
            dicom.read(folder)
        except DamagedFile as error:
            assert "\n" not in str(error)


def test_what_inflates_when_it_is_opened_is_refused_unopened(even, tmp_path):
    folder = write_series(tmp_path / "s", even, small.SPACING)
    one = pydicom.dcmread(folder / "007.dcm")
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    one.save_as(folder / "007.dcm", enforce_file_format=True)
    assert "007.dcm: is compressed as a whole" in refusal(folder)


def test_the_shape_is_known_without_the_pixels(even, tmp_path):
    folder = write_series(tmp_path / "s", even, small.SPACING, PixelData=b"\0\0")
    assert dicom.shape_of(folder) == small.SHAPE
