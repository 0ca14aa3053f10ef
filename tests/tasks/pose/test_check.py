"""The check of a pose set: what is sound has no finding, and each planted fault has one."""

import pytest

from tasks.pose import check
from tests.tasks import checked
from tests.tasks.pose import small


@pytest.fixture
def coco(tmp_path):
    """A sound set of two splits; the dictionary of its training split."""
    training = small.content(3)
    for entry in training["images"]:
        entry["id"] += 50
        entry["file_name"] = f"{entry['id']:012d}.jpg"
    for entry in training["annotations"]:
        entry["image_id"] += 50
    small.write_coco(tmp_path / "coco", training, "train2017", "images/train2017")
    small.write_coco(tmp_path / "coco")
    return training


@pytest.fixture
def found(tmp_path, monkeypatch, capsys):
    flags = ["--data.root", tmp_path / "coco", "--out", tmp_path / "run", "--engine.batch_size", 2]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found, coco):
    assert found() == (0, [])


def test_a_joint_that_nobody_has(found, coco, tmp_path):
    for entry in coco["annotations"]:
        entry["keypoints"][:3] = [0, 0, 0]
    small.annotate(tmp_path / "coco", coco, "train2017")
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "train2017: no labelled joints of 1 of 17 joints (nose)" in lines[0]


def test_persons_that_are_not_used(found, coco, tmp_path):
    coco["annotations"][0] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    small.annotate(tmp_path / "coco", coco, "train2017")
    status, lines = found()
    assert status == 0 and len(lines) == 1 and "1 without joints" in lines[0]


def test_a_picture_of_another_size(found, coco, tmp_path):
    file = tmp_path / "coco" / "images" / "train2017" / f"{57:012d}.jpg"
    small.picture(1).resize((80, 60)).save(file)
    status, lines = found()
    assert status == 1 and "80x60" in lines[0]


def test_a_scored_split_without_persons_stops_training(found, coco, tmp_path):
    nobody = {**small.content(3), "annotations": []}
    small.annotate(tmp_path / "coco", nobody, "val2017")
    status, lines = found()
    assert status == 1 and any("annotates no person" in line for line in lines)
