"""Every kind of bad MPII data, in JSON and in MATLAB's form."""

import json

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tasks.pose.mpii import read_mpii
from tests.tasks.pose import small
from tests.tasks.pose.small import refused


@pytest.fixture
def root(tmp_path):
    return tmp_path / "mpii"


def test_bad_mpii(root):
    refused(lambda: read_mpii(root, "valid"), f"--data.root {root}", "no such folder")
    entries, _ = small.write_mpii(root)
    refused(lambda: read_mpii(root / "annot", "valid"), f"say --data.root {root}")
    refused(lambda: read_mpii(root, "val"), "splits there: valid")
    file = root / "annot" / "valid.json"
    file.write_text("[]")
    refused(lambda: read_mpii(root, "valid"), file, "not an MPII file")
    longer = [{**entries[0], "joints": [[1, 2]] * 17}]
    file.write_text(json.dumps(longer))
    refused(lambda: read_mpii(root, "valid"), file, "person 0", "(17, 2)", "16 joints")
    file.write_text(json.dumps(entries[:2]))
    refused(lambda: read_mpii(root, "valid"), root / "annot" / "gt_valid.mat", "3 persons")
    (root / "annot" / "gt_valid.mat").unlink()
    refused(lambda: read_mpii(root, "valid"), root / "annot" / "gt_valid.mat", "PCKh")


@pytest.mark.parametrize(
    "joints",
    [[[1, 2]] * 15 + [[1]], [["a", 2]] * 16, [{"x": 1}] * 16],
    ids=["ragged", "words", "objects"],
)
def test_mpii_joints_that_are_no_table_of_numbers(root, joints):
    entries, _ = small.write_mpii(root)
    file = root / "annot" / "valid.json"
    file.write_text(json.dumps([entries[0], {**entries[1], "joints": joints}]))
    refused(lambda: read_mpii(root, "valid"), file, "person 1", "no table of numbers")


@pytest.mark.parametrize("length", [0, 50, 200, 500])
def test_a_ground_truth_file_of_mpii_cut_short(root, length):
    small.write_mpii(root)
    file = root / "annot" / "gt_valid.mat"
    file.write_bytes(file.read_bytes()[:length])
    refused(lambda: read_mpii(root, "valid"), file, "MPII's ground truth file")


@pytest.mark.parametrize("key", ["pos_gt_src", "jnt_missing", "headboxes_src"])
def test_a_ground_truth_file_of_mpii_with_other_tables(root, key):
    small.write_mpii(root)
    file = root / "annot" / "gt_valid.mat"
    content = {name: table for name, table in loadmat(file).items() if not name.startswith("__")}
    savemat(file, {**content, key: content[key][:-1]})
    refused(lambda: read_mpii(root, "valid"), file, f"'{key}' is not a table")
    savemat(file, {**content, key: content[key][..., :-1]})
    refused(lambda: read_mpii(root, "valid"), file, "has 2 and 3 persons, valid.json 3")
    savemat(file, {**content, key: "words"})
    refused(lambda: read_mpii(root, "valid"), file, f"'{key}' is not a table")


def test_missing_pictures_of_mpii(root):
    small.write_mpii(root)
    (root / "images" / "000000001.jpg").unlink()
    refused(lambda: read_mpii(root, "valid"), "names 2 pictures", "000000001.jpg")
    assert len(read_mpii(root, "valid", on_error="skip")) == 3


def test_mpii_persons_without_a_place(root):
    entries, _ = small.write_mpii(root, split="train")
    entries[0]["center"] = [-1, -1]
    entries[1]["joints_vis"] = [0] * 16
    (root / "annot" / "train.json").write_text(json.dumps(entries))
    found = read_mpii(root, "train")
    assert found.ids.tolist() == [2]
    assert "1 without joints, 1 without a place or size" in found.summary()


@pytest.mark.parametrize("value", [np.nan, None])
def test_a_head_without_size(root, value):
    """PCKh divides by it: better told before training than at its end."""
    _, heads = small.write_mpii(root)
    file = root / "annot" / "gt_valid.mat"
    content = {key: one for key, one in loadmat(file).items() if not key.startswith("__")}
    content["headboxes_src"][1, :, 1] = (
        content["headboxes_src"][0, :, 1] if value is None else value
    )
    savemat(file, content)
    refused(lambda: read_mpii(root, "valid"), file, "person 1 has a head box of no size")
    found = read_mpii(root, "valid", on_error="skip")
    assert found.ids.tolist() == [0, 2]
    assert "1 without the size of a head" in found.summary()
    np.testing.assert_allclose(
        found.head_sizes, np.linalg.norm(heads[1] - heads[0], axis=0)[[0, 2]]
    )
