"""The tab of volumes gives what predict writes, within its limits."""

import gzip
import struct

import nibabel
import numpy as np
import pytest

from app import volumes
from app.settings import LimitsConfig
from app.site import site_of
from app.turns import Deadline
from common.errors import UserError
from tasks.volumes import dicom, nifti, predict
from tests.app import server
from tests.app.test_limits import archive_of, refusal
from tests.tasks.commands import call
from tests.tasks.volumes import small
from tests.tasks.volumes.test_dicom import write_series

LIMITS = LimitsConfig(upload_megabytes=1, megavoxels=0.01, archive_files=20, archive_megabytes=1)


@pytest.fixture(scope="module")
def heads(runs):
    return server.opened(runs, ("volumes",))[0]


@pytest.fixture
def site(heads, tmp_path):
    (tmp_path / "site").mkdir()
    made = site_of(heads, LIMITS, tmp_path / "site")
    yield made
    made.turns.close()


def ask(site, file, job=None, progress=lambda *_, **__: None):
    return volumes.worked_off(site, file, site.heads.volumes[0], job or Deadline(60), progress)


def zipped(path, folder, more=()):
    members = [(f"scan/{one.name}", one.read_bytes()) for one in sorted(folder.iterdir())]
    return archive_of(path, [*members, *more])


def series(folder):
    values = small.scan(0).values
    return write_series(folder, values - values % 2, small.SPACING)


def test_an_upload_gives_what_predict_writes(site, runs, tmp_path):
    small.save(tmp_path / "volume.nii.gz", 0, "RAS")
    shares = []
    found = ask(site, tmp_path / "volume.nii.gz", progress=lambda share, desc: shares.append(share))
    words = ("--run", runs / "volumes", "--out", tmp_path / "out", "--engine.device", "cpu")
    call(predict.main, tmp_path / "volume.nii.gz", *words)
    assert shares[0] == 0 and sorted(shares) == shares
    names = {one.name for one in found.files}
    assert names | {"progress.jsonl"} == {one.name for one in (tmp_path / "out").iterdir()}
    for one in found.files:
        expected = (tmp_path / "out" / one.name).read_bytes()
        content = one.read_bytes()
        if one.suffix == ".gz":  # whose header holds the time
            expected, content = gzip.decompress(expected), gzip.decompress(content)
        if one.suffix in (".csv", ".json"):
            expected = expected.replace(b"volume.nii.gz", b"volume")
        assert content == expected, one.name
    labels = nibabel.load(next(one for one in found.files if one.name.endswith("labels.nii.gz")))
    given = nibabel.load(tmp_path / "volume.nii.gz")
    assert labels.affine.tobytes() == given.affine.tobytes()
    assert [one.text for one in found.lines] == list(small.CLASSES[1:])


def test_a_zip_of_a_series_is_one_volume(site, tmp_path):
    folder = series(tmp_path / "s")
    packed = zipped(tmp_path / "s.zip", folder, [("scan/notes.txt", b"x"), ("__MACOSX/._a", b"x")])
    found = ask(site, packed)
    labels = nibabel.load(next(one for one in found.files if one.name.endswith("labels.nii.gz")))
    assert labels.shape == small.SHAPE[::-1]
    assert labels.affine == pytest.approx(dicom.read(folder).grid.affine)


def test_what_is_no_scan_or_too_large_is_one_line(site, tmp_path, monkeypatch):
    small.save(tmp_path / "a.nii.gz", 0)
    whole = (tmp_path / "a.nii.gz").read_bytes()
    header = bytearray(gzip.decompress(whole)[:500])
    decoded = []
    monkeypatch.setattr(volumes, "read_scan", decoded.append)
    header[42:48] = struct.pack("<3h", 200, 200, 200)
    other = write_series(tmp_path / "two", small.scan(0).values, small.SPACING)
    write_series(other, small.scan(0).values[:1], small.SPACING, ["b"], SeriesInstanceUID="1.2")
    cut = series(tmp_path / "cut")
    (cut / "007.dcm").write_bytes((cut / "007.dcm").read_bytes()[:400])
    for content, said in (
        (whole[:3000], "damaged or cut short"),
        (b"hello", "is no NIfTI file"),
        (b"", "is no NIfTI file"),
        (gzip.compress(b"hello"), "is no NIfTI file"),
        (header, "tells of 200x200x200 voxels"),
        (header + b"\0" * 400_000, "200 x 200 x 200 voxels; at most 0.01 million"),
        (gzip.compress(header + b"\0" * 2_000_000), "more than 1 MB unpacked"),
        (b"x" * 1_000_001, "more than 1 MB"),
        (archive_of(tmp_path / "p.zip", [("a.png", b"x")]).read_bytes(), "no DICOM file"),
        (archive_of(tmp_path / "q.zip", [("../a", b"x")]).read_bytes(), "leads out"),
        (zipped(tmp_path / "r.zip", other).read_bytes(), "holds 2 series"),
        (zipped(tmp_path / "s.zip", cut).read_bytes(), "scan/007.dcm: does not tell its series"),
    ):
        file = tmp_path / "upload"
        file.write_bytes(content)
        assert said in refusal(ask, site, file), said
    nifti.write_scan(file := tmp_path / "b.nii", np.zeros((3, 60, 60), np.int16), small.grid(
        shape=(3, 60, 60)))  # fmt: skip
    assert "60 x 60 x 3 voxels; at most 0.01 million" in refusal(ask, site, file)
    assert not decoded


def test_a_job_ends_between_two_batches_of_slices(site, tmp_path):
    small.save(tmp_path / "a.nii", 0)
    job = Deadline(60)

    def progress(share, desc):
        job.cancelled = True

    site.heads.volumes[0].predictor.config.test.__dict__["batch_size"] = 2
    assert refusal(ask, site, tmp_path / "a.nii", job, progress) == "cancelled"
    with pytest.raises(UserError, match="the limit of this page"):
        ask(site, tmp_path / "a.nii", Deadline(-1))
