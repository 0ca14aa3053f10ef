"""The check of a classification set: a sound one has no finding, and each planted fault has one."""

import shutil

import pytest

from tasks.classification import check
from tests.tasks import checked
from tests.tasks.classification import small


@pytest.fixture
def tree(tmp_path):
    return small.write_tree(tmp_path / "set")


@pytest.fixture
def found(tree, monkeypatch, capsys):
    flags = ["--data.root", tree, "--out", tree.parent / "run", "--engine.batch_size", "2"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_a_sound_set(found):
    assert found() == (0, [])


def test_a_damaged_picture(found, tree):
    file = tree / "train" / "bee" / "bee_1.jpg"
    file.write_bytes(file.read_bytes()[:300])
    status, lines = found()
    assert status == 1 and len(lines) == 1
    assert "train: 1 of 12 pictures cannot be read" in lines[0] and str(file) in lines[0]


def test_one_picture_under_two_classes(found, tree):
    shutil.copy(tree / "train" / "bee" / "bee_0.jpg", tree / "train" / "cat" / "x.jpg")
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "are copies of another and have other labels" in lines[0]


def test_a_picture_in_both_splits(found, tree):
    shutil.copy(tree / "train" / "dog" / "dog_0.jpg", tree / "val" / "dog" / "x.jpg")
    status, lines = found()
    assert status == 0 and "val: 1 of 7 pictures are trained on as well" in lines[0]


def test_classes_of_one_split_alone_stop_training(found, tree):
    small.picture(70).save(tree / "val" / "bee" / "y.jpg")
    (tree / "val" / "emu").mkdir()
    small.picture(71).save(tree / "val" / "emu" / "emu.jpg")
    status, lines = found()
    assert status == 1 and "emu" in lines[0]
