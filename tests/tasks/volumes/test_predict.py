"""What predict leaves of a volume: labels on its own voxels, pictures, and millilitres."""

import csv
import json
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from common.reading import video
from tasks.volumes import draw, nifti, predict
from tasks.volumes.inference import Predictor
from tasks.volumes.volume import Volume, grid_of
from tests.tasks.commands import call
from tests.tasks.volumes import small
from tests.tasks.volumes.test_dicom import write_series


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes") / "run"
    small.write_run(folder)
    return folder


def predicted(run, out, *words):
    call(predict.main, *words, "--run", run, "--out", out, "--engine.device", "cpu")


def rows(out):
    with (out / "volumes.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_file_of_a_volume(run, tmp_path, capsys):
    small.save(tmp_path / "in" / "a.nii.gz", 0, "RAS")
    out = tmp_path / "out"
    every = "[labels, sheet, slices, movie, probabilities]"
    predicted(run, out, tmp_path / "in", "--outputs", every)
    names = {path.name for path in out.iterdir()}
    shares = [f"a_probability_{name}.nii.gz" for name in small.CLASSES]
    assert names == {
        "a_labels.nii.gz", "a_sheet.jpg", "a_slices.gif", "a_slices.mp4", "volumes.csv",
        "volumes.json", *shares,
        "progress.jsonl",
    }  # fmt: skip
    given, found = (
        nibabel.load(path) for path in (tmp_path / "in/a.nii.gz", out / "a_labels.nii.gz")
    )
    assert given.affine.tobytes() == found.affine.tobytes() and given.shape == found.shape
    total = sum(np.asarray(nibabel.load(out / name).dataobj) for name in shares)
    assert np.abs(total - 1).max() < 0.02
    labels = np.asarray(found.dataobj)
    expected = Predictor.open(run, device="cpu")(tmp_path / "in" / "a.nii.gz")
    assert np.array_equal(expected.grid.restored(expected.labels), labels)
    for number, row in enumerate(rows(out), start=1):
        assert (row["file"], row["class"]) == ("a.nii.gz", small.CLASSES[number])
        assert int(row["voxels"]) == (labels == number).sum()
        assert float(row["millilitres"]) == pytest.approx(int(row["voxels"]) * 0.04992, rel=1e-3)
        assert row["note"] == nifti.RESEARCH
    content = json.loads((out / "volumes.json").read_text())
    assert content["note"] == nifti.RESEARCH and content["files"][0]["labels"] == "a_labels.nii.gz"
    shown = Image.open(out / "a_slices.gif")
    film = list(video.frames(out / "a_slices.mp4"))
    assert shown.n_frames == len(film) == small.SHAPE[0]
    assert film[2].shape[1::-1] == shown.size
    shown.seek(2)
    assert np.abs(film[2].astype(int) - np.asarray(shown.convert("RGB"))).mean() < 12
    assert "no diagnosis" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(3, 40, 1), (3, 1, 40), (1, 1, 1), (2, 33, 35)])
def test_frames_of_any_proportions_say_what_they_are_not_for(shape):
    volume = Volume(np.zeros(shape, np.int16), grid_of(shape, (1.0, 1.0, 1.0)))
    config = small.tiny_config()
    drawn = list(draw.frames(volume, np.zeros(shape, np.uint8), config))
    assert len(drawn) == shape[0] and len({one.shape for one in drawn}) == 1
    assert not any(side % 2 for side in drawn[0].shape[:2])
    roomy = draw.strip((*config.data.classes,), 400)
    red = ((roomy[..., 0] > 120) & (roomy[..., 1] < 60) & (roomy[..., 2] < 60)).sum()
    last = drawn[0][-draw.strip(config.data.classes, drawn[0].shape[1]).shape[0] :]
    assert ((last[..., 0] > 120) & (last[..., 1] < 60) & (last[..., 2] < 60)).sum() == red > 0


def test_no_two_of_many_classes_have_one_colour():
    colours = np.array([draw.colour_of(label) for label in range(1, 118)], int)
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert np.min(apart + 1000 * np.eye(len(colours), dtype=int)) >= 8


def test_a_folder_of_dicom_is_one_volume_and_folders_within_are_found(run, tmp_path):
    values = small.scan(0).values // 2 * 2
    series = write_series(tmp_path / "in" / "1.2.840", values, small.SPACING)
    small.save(tmp_path / "in" / "b.nii.gz", 1)
    predicted(run, tmp_path / "one", series, "--outputs", "[labels]")
    labels = nibabel.load(tmp_path / "one" / "1.2.840_labels.nii.gz")
    assert labels.shape == small.SHAPE[::-1]
    for path in (tmp_path / "one").iterdir():
        assert b"DOE" not in path.read_bytes()
    with pytest.raises(DamagedFile, match="is one slice of DICOM; name the folder"):
        predicted(run, tmp_path / "slice", next(series.iterdir()))
    predicted(run, tmp_path / "all", tmp_path / "in", "--recursive", "--outputs", "[labels]")
    assert {row["file"] for row in rows(tmp_path / "all")} == {"1.2.840", "b.nii.gz"}


def test_a_damaged_volume_stops_or_is_skipped_and_resume_goes_on(run, tmp_path, capsys):
    small.save(tmp_path / "in" / "a.nii.gz", 0)
    whole = (tmp_path / "in" / "a.nii.gz").read_bytes()
    (tmp_path / "in" / "b.nii.gz").write_bytes(whole[:500])
    small.save(tmp_path / "in" / "c.nii", 1)
    out = tmp_path / "out"
    words = (tmp_path / "in", "--outputs", "[labels]")
    with pytest.raises(DamagedFile, match=r"b\.nii\.gz: is no NIfTI file"):
        predicted(run, out, *words)
    first = (out / "a_labels.nii.gz").stat().st_mtime_ns
    predicted(run, out, *words, "--resume", "--data.on_error", "skip")
    assert (out / "a_labels.nii.gz").stat().st_mtime_ns == first
    assert {row["file"] for row in rows(out)} == {"a.nii.gz", "c.nii"}
    assert "1 volumes could not be read" in capsys.readouterr().out


def test_volumes_come_from_files_and_are_never_overwritten(run, tmp_path):
    with pytest.raises(UserError, match="--camera"):
        predicted(run, tmp_path, "--camera", "0")
    small.save(tmp_path / "a.nii.gz", 0)
    shutil.copy(tmp_path / "a.nii.gz", tmp_path / "a_labels.nii.gz")
    with pytest.raises(UserError, match="would overwrite the input"):
        predicted(run, tmp_path, tmp_path)
