"""Box files of detectors that do not fit the annotations, or are damaged."""

import json

import pytest

from tasks.pose.data import read_boxes, read_coco
from tests.tasks.pose import small
from tests.tasks.pose.small import refused


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


def refused_boxes(root, rows, *words):
    annotations = read_coco(small.write_coco(root), "val2017")
    file = root / "boxes.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return refused(lambda: read_boxes(file, annotations, 0.0), file, *words)


def box(image_id, **changes):
    entry = {"image_id": image_id, "category_id": 1, "bbox": [1, 1, 50, 50], "score": 1}
    return {**entry, **changes}


def test_a_box_file_of_another_data_set(root):
    refused_boxes(
        root, [box(70), box(80)], "another data set", "all of its pictures", "first id 70"
    )


def test_a_box_file_of_a_larger_data_set(root):
    refused_boxes(root, [box(7), box(80)], "another data set", ": 1 of its pictures", "first id 80")


def test_boxes_of_other_pictures_are_left_out_with_skip(root):
    annotations = read_coco(small.write_coco(root), "val2017")
    file = root / "boxes.json"
    file.write_text(json.dumps([box(7), box(80), box(80), box(9)]))
    found = read_boxes(file, annotations, 0.0, "skip")
    assert found.image_ids.tolist() == [7, 9]
    assert "(left out: 2 in pictures of another data set)" in found.summary()
    file.write_text(json.dumps([box(80)]))
    refused(lambda: read_boxes(file, annotations, 0.0, "skip"), "all of its pictures")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ("", "empty (0 bytes)"),
        ("[]", "not a box file"),
        ({"annotations": []}, "not a box file"),
        ([{"image_id": 7, "category_id": 1, "score": 1}], "lacks or garbles"),
        ([box(7, bbox=[1, 2, 3])], "lacks or garbles"),
        ([box(7, bbox=[1, 2, 3, 4, 5])] * 6, "found (1, 2, 3, 4, 5) in picture 7"),
        ([box(7, score="1")], "with the score '1'"),
        ([box(7.5)], "an image_id is not a whole number"),
        ([box(7, bbox=[1, float("nan"), 3, 4])], "not finite"),
        ([box(7, category_id=2)], "no box of a person"),
        ([box(7, bbox=[1, 1, 0, 0])], "no box of a person"),
    ],
)
def test_damaged_box_files(root, rows, word):
    refused_boxes(root, rows, word)


def test_a_box_file_that_is_missing(root):
    annotations = read_coco(small.write_coco(root), "val2017")
    refused(lambda: read_boxes(root / "none.json", annotations, 0.0), "none.json", "No such file")
