"""COCO's form: labels from ids with gaps, boxes, areas, crowds, and the way back to the file."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.errors import UserError
from tasks.detection.coco import read_coco
from tests.tasks.detection import small


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


@pytest.fixture
def annotations(root):
    return read_coco(small.write(root), "val2017")


def test_labels_count_the_categories_in_order_of_their_ids(annotations):
    assert annotations.classes == ("person", "cat", "kite")
    assert [category.id for category in annotations.categories] == [1, 17, 44]
    assert annotations.ids.tolist() == [101, 102, 103, 501]
    assert annotations.labels.tolist() == [1, 2, 1, 3]


def test_pictures_in_the_files_order_with_objects_or_without(annotations, root):
    assert len(annotations) == 3
    assert annotations.image_ids.tolist() == [7, 8, 9]
    assert annotations.images[1] == root / "images" / "val2017" / "000000000008.jpg"
    assert annotations.sizes.tolist() == [[small.HEIGHT, small.WIDTH]] * 3
    assert [len(annotations.objects(row)) for row in range(3)] == [3, 1, 0]


def test_the_objects_of_a_picture(annotations):
    objects = annotations.objects(0)
    assert objects.boxes.tolist() == [[20, 30, 80, 90], [100, 40, 130, 70], [0, 80, 40, 120]]
    assert objects.areas.tolist() == [1800.5, 900, 1800.5]
    assert objects.crowd.tolist() == [False, False, True]
    assert [type(outline) for outline in objects.outlines] == [list, bytes, bytes]
    assert annotations.objects(2).boxes.shape == (0, 4)


def test_summary_and_fingerprint(annotations, root):
    assert annotations.summary() == (
        "instances_val2017.json: 3 objects of 3 classes in 3 pictures; crowds: 1; pictures "
        "without objects: 1"
    )
    other = small.content()
    other["annotations"][0]["area"] += 1
    small.annotate(root, other)
    assert read_coco(root, "val2017").fingerprint != annotations.fingerprint


def test_boxes_are_cut_off_at_the_picture_but_kept_as_annotated(root):
    coco = small.content()
    coco["annotations"][0]["bbox"] = [-5.25, 100.1, 170.3, 30]
    found = read_coco(small.write(root, coco), "val2017")
    assert found.boxes[3].tolist() == [0, 100.1, 160, 120]
    assert found.annotated_boxes[3].tolist() == [-5.25, 100.1, 170.3, 30]


@pytest.mark.parametrize(
    ("segmentation", "area"),
    [(small.runs(small.square(3, 4, 20)), 400), ([], 60.0 * 60.0), ([small.TRIANGLE], 1800)],
)
def test_an_area_that_is_not_annotated(root, segmentation, area):
    coco = small.content()
    del coco["annotations"][0]["area"], coco["annotations"][0]["iscrowd"]
    coco["annotations"][0]["segmentation"] = segmentation
    found = read_coco(small.write(root, coco), "val2017")
    assert found.areas[3] == pytest.approx(area, rel=0.05)
    assert not found.crowd[3]


def test_other_picture_folder(root):
    found = read_coco(small.write(root, folder="val2017"), "val2017")
    assert found.images[0].parent == root / "val2017"


def test_the_ground_truth_is_the_file_digit_for_digit(root):
    coco = small.content()
    coco["annotations"][0]["bbox"] = [-5.25, 100.1, 170.3, 30.07]
    truth = read_coco(small.write(root, coco), "val2017").ground_truth()
    assert truth["images"] == coco["images"]
    assert truth["categories"] == sorted(coco["categories"], key=lambda one: one["id"])
    by_id = {entry["id"]: entry for entry in truth["annotations"]}
    assert len(by_id) == 4
    for entry in coco["annotations"]:
        for key in ("image_id", "category_id", "bbox", "area", "iscrowd"):
            assert by_id[entry["id"]][key] == entry[key]
    assert by_id[501]["segmentation"] == [small.TRIANGLE]
    assert by_id[102]["segmentation"]["counts"].decode() == small.runs(small.square())["counts"]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_ground_truth_given_back_scores_one(annotations, kind):
    truth = annotations.ground_truth()
    answers = [{**entry, "score": 1.0} for entry in truth["annotations"] if not entry["iscrowd"]]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(answers), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # pycocotools adds the smallest of floats to a divisor.
    assert evaluation.stats[0] == pytest.approx(1, abs=1e-15)


def test_some_classes_alone(annotations):
    found = annotations.select(["kite", "person"])
    assert found.classes == ("kite", "person")
    assert found.ids.tolist() == [101, 103, 501]
    assert found.labels.tolist() == [2, 2, 1]
    assert len(found) == 3
    assert [len(found.objects(row)) for row in range(3)] == [2, 1, 0]
    assert isinstance(found.objects(0).outlines[1], bytes)
    np.testing.assert_array_equal(found.objects(1).boxes, annotations.objects(1).boxes)
    assert [entry["category_id"] for entry in found.ground_truth()["annotations"]] == [1, 1, 44]
    assert annotations.select(["person", "cat", "kite"]) is annotations


def test_classes_that_the_set_does_not_have(annotations, root):
    with pytest.raises(UserError, match="has no class 'dog'; it has person, cat, kite"):
        annotations.select(["cat", "dog"])
    coco = small.content()
    coco["categories"].append({"id": 2, "name": "bicycle"})
    small.annotate(root, coco)
    with pytest.raises(UserError, match="has no object of bicycle"):
        read_coco(root, "val2017").select(["bicycle"])
