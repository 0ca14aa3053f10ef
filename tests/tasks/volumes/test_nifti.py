"""NIfTI files: what is read, what is refused in one line, and where labels are written."""

import gzip
import struct
import sys

import nibabel
import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.volumes import dicom, nifti
from tasks.volumes.volume import AIR
from tests.tasks.volumes import small


def stored(path, array, affine=None, **header):
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("letters", ["RAS", "LPS", "SPL"])
def test_a_scan_reads_back_as_it_was_written(letters, tmp_path):
    body = small.save(tmp_path / "a.nii.gz", 0, letters)
    found = nifti.read(tmp_path / "a.nii.gz")
    assert np.array_equal(found.values, body.values)
    assert found.spacing == pytest.approx(small.SPACING)
    assert nibabel.load(tmp_path / "a.nii.gz").get_data_dtype() == np.int16


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (1, 1), (0, 0)])
def test_labels_lie_where_the_scan_lies_to_the_byte(suffix, codes, tmp_path):
    generator = np.random.default_rng(0)
    affine = np.diag([-0.7, 0.7, 2.5, 1.0])
    affine[:3, 3] = generator.normal(0, 50, 3)
    array = generator.integers(-1000, 1000, (5, 6, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_sform(affine, code=codes[0])
    image.header.set_qform(affine, code=codes[1])
    image.header["descrip"], image.header["db_name"] = b"JOHN DOE", b"JOHN DOE"
    nibabel.save(image, tmp_path / f"scan{suffix}")
    scan = nifti.read(tmp_path / f"scan{suffix}")
    labels = (scan.values > 0).astype(np.uint8)
    nifti.write_labels(tmp_path / "labels.nii.gz", labels, scan.grid)
    before, after = (nibabel.load(tmp_path / name) for name in (f"scan{suffix}", "labels.nii.gz"))
    assert before.affine.tobytes() == after.affine.tobytes()
    for name in nifti._GEOMETRY:
        assert before.header[name].tobytes() == after.header[name].tobytes(), name
    assert after.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(after.dataobj), array > 0)
    assert after.header["descrip"].tobytes().rstrip(b"\0") == nifti.RESEARCH.encode()
    content = gzip.decompress((tmp_path / "labels.nii.gz").read_bytes())
    assert b"JOHN" not in content


def test_shares_read_as_numbers_from_0_to_1(tmp_path):
    share = np.array([0, 51, 255, 255], np.uint8).reshape(1, 2, 2)
    nifti.write_share(tmp_path / "p.nii.gz", share, small.grid(shape=(1, 2, 2)))
    found = np.asarray(nibabel.load(tmp_path / "p.nii.gz").dataobj)
    assert np.allclose(np.sort(found.ravel()), [0, 0.2, 1, 1], atol=1e-6)


def test_slope_and_intercept_count_and_what_is_no_number_is_air(tmp_path):
    array = np.array([0.0, 1024.4, np.nan, 1e6]).reshape(2, 2, 1).astype(np.float32)
    found = nifti.read(stored(tmp_path / "a.nii", array, np.diag([-1, -1, 1, 1])))
    assert found.values[0].T.ravel().tolist() == [0, 1024, AIR, 32767]
    raw = nibabel.Nifti1Image(np.full((2, 2, 2), 512, np.uint16), np.eye(4))
    raw.header.set_slope_inter(2, -1024)
    nibabel.save(raw, tmp_path / "b.nii")
    # nibabel scales when it saves, so that what it reads back is the truth here.
    truth = nibabel.load(tmp_path / "b.nii").get_fdata()
    assert np.allclose(nifti.read(tmp_path / "b.nii").values, np.rint(truth).T, atol=0.5)


def refusal(call, *arguments, kind=DamagedFile):
    with pytest.raises(kind) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_files_are_one_line(tmp_path):
    whole = tmp_path / "a.nii.gz"
    small.save(whole, 0)
    assert "no such file" in refusal(nifti.read, tmp_path / "none.nii.gz")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "cut.nii.gz: is no NIfTI file, is damaged or cut short" in refusal(nifti.read, cut)
    plain = tmp_path / "cut.nii"
    plain.write_bytes(gzip.decompress(whole.read_bytes())[:2000])
    assert "cut short" in refusal(nifti.read, plain)
    text = tmp_path / "text.nii"
    text.write_text("nothing of the kind")
    assert "is no NIfTI file" in refusal(nifti.read, text)
    four = stored(tmp_path / "four.nii", np.zeros((2, 2, 2, 3), np.int16))
    assert "has the shape (2, 2, 2, 3)" in refusal(nifti.read, four)
    tilted = np.eye(4)
    tilted[0, 2] = 0.4
    assert "tilted gantry" in refusal(
        nifti.read, stored(tmp_path / "t.nii", np.zeros((2, 2, 2), np.int16), tilted)
    )


@pytest.mark.parametrize("sizes", [(32767, 32767, 32767), (-5, 40, 6), (0, 40, 6)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_no_file_can_keep_is_one_line(sizes, suffix, tmp_path):
    small.save(tmp_path / "a.nii.gz", 0)
    content = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    content[42:48] = struct.pack("<3h", *sizes)
    lying = tmp_path / f"b{suffix}"
    lying.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else bytes(content))
    line = refusal(nifti.read, lying)
    assert "x".join(map(str, sizes)) in line
    assert line == refusal(nifti.shape_of, lying)


def test_the_shape_is_known_without_the_voxels(tmp_path):
    small.save(tmp_path / "a.nii.gz", 0, "SPL")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((tmp_path / "a.nii.gz").read_bytes()[:2000])
    assert nifti.shape_of(cut) == small.grid("SPL").shape


def test_a_checksum_that_is_wrong_is_seen(tmp_path):
    small.save(tmp_path / "a.nii.gz", 0)
    content = bytearray((tmp_path / "a.nii.gz").read_bytes())
    content[-8] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert "damaged or cut short (CRC" in refusal(nifti.read, tmp_path / "a.nii.gz")


def test_labels_of_other_voxels_are_refused(tmp_path):
    body = small.save(tmp_path / "a.nii.gz", 0)
    volume = nifti.read(tmp_path / "a.nii.gz")
    label = tmp_path / "b.nii.gz"
    small.save_labels(label, body.labels)
    assert np.array_equal(nifti.read_labels(label, volume, 4), body.labels)
    small.save_labels(label, body.labels, "RPS")
    assert "lies elsewhere than its volume" in refusal(nifti.read_labels, label, volume, 4)
    stored(label, np.zeros((2, 2, 2), np.uint8))
    assert "has 2x2x2 voxels, its volume 36x40x6" in refusal(nifti.read_labels, label, volume, 4)
    small.save_labels(label, body.labels)
    line = refusal(nifti.read_labels, label, volume, 3, kind=UserError)
    assert "holds the label 3; the classes are 0 to 2" in line
    half = np.full(volume.grid.shape, 0.5, np.float32)
    stored(label, half, volume.grid.affine)
    assert "not whole" in refusal(nifti.read_labels, label, volume, 4)


def test_without_the_packages_one_line_says_what_to_install(tmp_path, monkeypatch):
    for name, read in (("nibabel", nifti.read), ("pydicom", dicom.read)):
        monkeypatch.setitem(sys.modules, name, None)
        line = refusal(read, tmp_path, kind=UserError)
        assert f"need {name}, which is not installed: pip install '.[volumes]'" in line
