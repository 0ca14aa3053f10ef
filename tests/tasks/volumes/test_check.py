"""The check of a set of volumes: what is sound has no finding, and each planted fault has one."""

import numpy as np
import pytest

from tasks.volumes import check, nifti
from tests.tasks import checked
from tests.tasks.volumes import small


@pytest.fixture
def found(tmp_path, monkeypatch, capsys):
    """Exit status and findings with further flags."""
    root = small.write_nnunet(tmp_path / "set")
    flags = ["--data.root", root, "--out", tmp_path / "run", "--data.folds", "2"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found, tmp_path):
    status, lines = found("--data.classes", "[background, liver, kidney, lesion]")
    assert status == 0 and not [line for line in lines if "note" not in line]
    assert (tmp_path / "run" / "check" / "index.html").is_file()


def test_each_fault_is_named(found, tmp_path):
    images, labels = tmp_path / "set" / "imagesTr", tmp_path / "set" / "labelsTr"
    body = small.scan(0)
    nifti.write_scan(images / "case_0_0000.nii.gz", body.values // 100, small.grid())
    small.save_labels(labels / "case_1.nii.gz", np.zeros(small.SHAPE, np.uint8))
    small.save_labels(labels / "case_2.nii.gz", small.scan(2).labels, "RAS")
    status, lines = found()
    assert status == 1
    said = "\n".join(lines)
    assert "hardly in HU" in said
    assert "have no label" in said
    assert "lies elsewhere than its volume" in said
    assert found("--data.on_error", "skip")[0] == 0
