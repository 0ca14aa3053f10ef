"""The check of a detection set: what is sound has no finding, and each planted fault has one."""

import pytest

from tasks.detection import check
from tests.tasks import checked
from tests.tasks.detection import small

CLASSES = ("--data.classes", "[person]")


@pytest.fixture
def coco(tmp_path):
    """A sound set of two splits, as the dictionaries of its files."""
    contents = {}
    for split, first in (("train2017", 100), ("val2017", 1)):
        images = [
            {"id": first + k, "file_name": f"{first + k:012d}.jpg", "width": small.WIDTH,
             "height": small.HEIGHT} for k in range(3)
        ]  # fmt: skip
        people = [small.triangle(first + k, first + k) for k in range(3)]
        content = {"images": images, "annotations": people, "categories": small.CATEGORIES}
        small.write(tmp_path / "coco", content, split, f"images/{split}")
        contents[split] = content
    return contents


@pytest.fixture
def found(tmp_path, monkeypatch, capsys):
    flags = ["--data.root", tmp_path / "coco", "--out", tmp_path / "run", "--engine.batch_size", 2]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *CLASSES, *words)


@pytest.fixture
def change(coco, tmp_path):
    """Write the training split with other fields of its first annotation."""

    def annotate(**fields):
        coco["train2017"]["annotations"][0].update(fields)
        small.annotate(tmp_path / "coco", coco["train2017"], "train2017")

    return annotate


def test_a_sound_set(found, coco):
    assert found() == (0, [])


def test_a_box_beyond_the_picture(found, change):
    change(bbox=[-30.0, 30.0, 60.0, 60.0])
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "1 of 3 pictures have boxes that reach beyond their edges" in lines[0]
    assert "by up to 30 pixels" in lines[0]


@pytest.mark.parametrize("box", [[20.0, 30.0, 0.0, 60.0], [500.0, 30.0, 60.0, 60.0]])
def test_a_box_of_no_area_or_outside(found, change, box):
    change(bbox=box)
    status, lines = found()
    assert status == 0 and len(lines) == 1
    assert "1 with a box of no area or outside the picture" in lines[0]


def test_a_damaged_entry_stops_or_is_left_out(found, change):
    change(bbox=[20.0, "a", 60.0, 60.0])
    status, lines = found()
    assert status == 1 and lines[0].startswith("error: train2017") and "annotation 100" in lines[0]
    status, lines = found("--data.on_error", "skip")
    assert status == 0 and "note: train2017: not used: 1 damaged" in lines[0]


def test_a_picture_of_another_size(found, coco, tmp_path):
    file = tmp_path / "coco" / "images" / "train2017" / f"{100:012d}.jpg"
    small.picture(1, size=(small.HEIGHT, small.WIDTH)).save(file)
    status, lines = found()
    assert status == 1 and "it was turned after it was annotated" in lines[0]


def test_a_missing_picture(found, coco, tmp_path):
    (tmp_path / "coco" / "images" / "train2017" / f"{101:012d}.jpg").unlink()
    status, lines = found()
    assert status == 1 and any("1 of them are missing" in line for line in lines)


def test_a_class_that_never_occurs(found, coco):
    status, lines = found("--data.classes", "[person, cat]")
    assert status == 0 and len(lines) == 2
    assert all("no objects of 1 of 2 classes (cat)" in line for line in lines)


def test_a_scored_split_of_crowds_alone_stops_training(found, coco, tmp_path):
    for entry in coco["val2017"]["annotations"]:
        entry["iscrowd"] = 1
    small.annotate(tmp_path / "coco", coco["val2017"], "val2017")
    status, lines = found()
    assert status == 1 and "has crowds only" in lines[0]
