"""Layouts of the public sets, names of classes, and folds by case."""

import json
import shutil

import pytest

from common.errors import UserError
from tasks.volumes import sample
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.layouts import cases, class_names, drawn_folds, split_of
from tests.tasks.volumes import small


def names(root, format="dataset", **data):
    return [case.name for case in cases(root, DataConfig(root=root, format=format, **data))]


def refusal(call):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def decathlon(tmp_path_factory):
    root = tmp_path_factory.mktemp("set") / "Task00_Phantom"
    sample.write(root, seed=1, cases=3, size=24, slices=4)
    return root


def test_the_decathlon_with_the_copies_that_macos_leaves(decathlon):
    (decathlon / "imagesTr" / "._phantom_000.nii.gz").write_bytes(b"x")
    assert names(decathlon) == ["phantom_000", "phantom_001", "phantom_002"]
    assert class_names(decathlon, DataConfig()) == small.CLASSES


def test_nnunet_with_channel_suffixes(tmp_path):
    root = small.write_nnunet(tmp_path)
    assert names(root) == [f"case_{number}" for number in range(4)]
    assert class_names(root, DataConfig()) == small.CLASSES
    for number in range(4):
        name = f"case_{number}_000"
        shutil.copy(root / "imagesTr" / f"{name}0.nii.gz", root / "imagesTr" / f"{name}1.nii.gz")
    second = cases(root, DataConfig(root=root, channel=1))
    assert second[0].image.name == "case_0_0001.nii.gz"
    line = refusal(lambda: names(root, channel=2))
    assert "--data.channel 2: case_0" in line and "has 0000, 0001" in line


def test_lits_kits_and_own_folders(tmp_path):
    for number in (0, 10, 2):
        small.write_pair(
            tmp_path / "lits", tmp_path / "lits", f"volume-{number}", number,
            f"segmentation-{number}",
        )  # fmt: skip
        folder = tmp_path / "kits" / f"case_{number:05d}"
        small.write_pair(folder, folder, "imaging", number, "segmentation")
        small.write_pair(tmp_path / "own" / "images", tmp_path / "own" / "labels", "a", number)
    (tmp_path / "kits" / "case_00300").mkdir()  # of the test set
    assert names(tmp_path / "lits", "lits") == ["000", "002", "010"]
    assert names(tmp_path / "kits", "kits") == ["case_00000", "case_00002", "case_00010"]
    assert names(tmp_path / "own", "folders") == ["a"]
    assert class_names(tmp_path, DataConfig(format="lits"))[2] == "tumour"
    assert len(class_names(tmp_path, DataConfig(format="kits"))) == 4
    assert "--data.classes" in refusal(lambda: class_names(tmp_path, DataConfig(format="folders")))


def test_what_is_missing_is_one_line(decathlon, tmp_path):
    root = shutil.copytree(decathlon, tmp_path / "set")
    assert "no such folder" in refusal(lambda: names(tmp_path / "none"))
    assert "dataset.json: no such file" in refusal(lambda: names(tmp_path))
    (root / "labelsTr" / "phantom_001.nii.gz").unlink()
    assert "no labels phantom_001.nii.gz" in refusal(lambda: names(root))
    shutil.rmtree(root / "labelsTr")
    assert "labelsTr: no such folder" in refusal(lambda: names(root))
    for labels, said in (
        ({"background": 0, "whole": [1, 2]}, "regions"),
        ({"0": "background", "2": "tumour"}, "its labels are [0, 2]"),
        (None, "its labels are []"),
    ):
        (root / "dataset.json").write_text(json.dumps({"labels": labels}))
        assert said in refusal(lambda: class_names(root, DataConfig()))
    (root / "dataset.json").write_text("{")
    assert "is not JSON" in refusal(lambda: names(root))


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_two_files_of_one_name_are_refused(decathlon, tmp_path, folder):
    root = shutil.copytree(decathlon, tmp_path / "set")
    shutil.copy(root / folder / "phantom_001.nii.gz", root / folder / "phantom_001.nii")
    own = {"image_folder": "imagesTr", "label_folder": "labelsTr", "classes": small.CLASSES}
    for format, more in (("dataset", {}), ("folders", own)):
        line = refusal(lambda f=format, m=more: names(root, f, **m))
        assert "phantom_001.nii.gz" in line and "which one counts?" in line
    for place in ("a", "b"):
        small.write_pair(root / place, root / place, "volume-1", 1, "segmentation-1")
    assert "which one counts?" in refusal(lambda: names(root, "lits"))


def test_labels_that_nobody_gave_are_refused(tmp_path):
    root = small.write_nnunet(tmp_path, cases=1)
    content = json.loads((root / "dataset.json").read_text())
    content["labels"]["ignore"] = 4
    (root / "dataset.json").write_text(json.dumps(content))
    assert "has a label ignore" in refusal(lambda: class_names(root, DataConfig()))


def test_one_case_cannot_be_parted():
    line = refusal(lambda: drawn_folds(["a"], 5))
    assert "there is 1 case" in line and "--data.train_split all" in line


def test_folds_part_the_cases():
    every = [f"c{number:02d}" for number in range(24)]
    folds = drawn_folds(every, 5)
    held = [name for fold in folds for name in fold["val"]]
    assert sorted(held) == every and [len(fold["val"]) for fold in folds] == [5, 5, 5, 5, 4]
    assert all(sorted(fold["train"] + fold["val"]) == every for fold in folds)
    assert drawn_folds(every[::-1], 5) == folds
    for count, golden in GOLDEN.items():
        found = drawn_folds([f"{number:02d}" for number in range(count)], 5)
        assert [[int(name) for name in fold["val"]] for fold in found] == golden
    assert "--data.folds 5: there are 3 cases" in refusal(lambda: drawn_folds(every[:3], 5))


GOLDEN = {
    10: [[0, 7], [3, 9], [4, 6], [1, 8], [2, 5]],
    23: [
        [3, 8, 10, 17, 19], [0, 7, 12, 15, 16], [6, 11, 14, 18, 20], [9, 13, 21, 22], [1, 2, 4, 5],
    ],
}  # fmt: skip
"""Of scikit-learn's KFold(5, shuffle=True, random_state=12345), which nnU-Net takes."""


def test_a_split_file_wins_and_is_checked(decathlon, tmp_path):
    root = shutil.copytree(decathlon, tmp_path / "set")
    found = cases(root, DataConfig(root=root))

    def of(split, **config):
        return [case.name for case in split_of(root, Config(**config), split, found)]

    assert len(of("all")) == 3
    assert "there are 3 cases" in refusal(lambda: of("val"))
    first, second, third = (case.name for case in found)
    folds = [{"train": [first, second], "val": [third]}, {"train": [third], "val": [first]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    assert of("val") == [third] and of("train", fold=1) == [third]
    assert "--fold 2: there are 2" in refusal(lambda: of("val", fold=2))
    for content, said in (
        ([{"train": ["x"], "val": [first]}], "not there (x)"),
        ([{"train": [first], "val": [first]}], "and scores it as well"),
        ([{"train": [first]}], "needed: a list"),
        ([{"train": [first, {}], "val": [second]}], "needed: a list"),
        ([{"train": [first], "val": [second, second]}], "each case once"),
        ([{"train": [first], "val": []}], "has no case"),
    ):
        (root / "splits_final.json").write_text(json.dumps(content))
        assert said in refusal(lambda: of("train") and of("val"))
    one = tmp_path / "mine.json"
    one.write_text(json.dumps({"train": [first], "val": [second]}))
    assert of("val", data=DataConfig(splits=one)) == [second]
