"""Every kind of bad data: what is said, and that it is said in one line with the file's name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.errors import DamagedFile
from common.training.sampling import generator_for
from tasks.pose.data import ScoringSet, TrainSet, read_coco
from tasks.pose.metrics import coco_scores
from tasks.pose.skeleton import COCO
from tests.tasks.pose import small
from tests.tasks.pose.small import refused


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


def refused_coco(root, *words, split="val2017"):
    return refused(lambda: read_coco(root, split), *words)


def test_a_missing_root(root):
    refused_coco(root, f"--data.root {root}", "no such folder")


def test_a_root_one_level_too_deep(root):
    small.write_coco(root)
    refused_coco(root / "annotations", f"say --data.root {root}")
    refused_coco(root / "images" / "val2017", f"say --data.root {root}")


def test_a_root_one_level_too_high(root):
    small.write_coco(root / "coco2017")
    refused_coco(root, f"say --data.root {root / 'coco2017'}")


def test_archives_that_are_not_unpacked(root):
    root.mkdir()
    (root / "annotations_trainval2017.zip").touch()
    refused_coco(root, root / "annotations_trainval2017.zip", "not unpacked")
    small.annotate(root, small.content())
    (root / "val2017.zip").touch()
    refused_coco(root, root / "val2017.zip", "not unpacked")


def test_another_split_and_another_folder(root):
    small.write_coco(root, split="train")
    refused_coco(root, "its splits are train", "--data.val_split")
    empty = root / "empty"
    empty.mkdir()
    refused_coco(empty / "..", "person_keypoints_val2017.json")
    (root / "other").mkdir()
    (root / "other" / "notes.txt").touch()
    refused_coco(root / "other", "notes.txt", "annotations/ and images/")


def test_no_picture_folder(root):
    small.annotate(root, small.content())
    refused_coco(root, "no folder images/val2017 or val2017")


def test_missing_pictures_are_counted_and_named(root):
    small.write_coco(root)
    for name in ("000000000008.jpg", "000000000009.jpg"):
        (root / "images" / "val2017" / name).unlink()
    refused_coco(
        root,
        root / "annotations" / "person_keypoints_val2017.json",
        "names 3 pictures",
        "2 of them are missing",
        root / "images" / "val2017" / "000000000008.jpg",
        "--data.on_error skip",
    )


def test_missing_pictures_are_left_to_the_run_when_skipping(root, capsys):
    small.write_coco(root)
    missing = root / "images" / "val2017" / "000000000008.jpg"
    missing.unlink()
    annotations = read_coco(root, "val2017", on_error="skip")
    config = replace(small.PLAIN, on_error="skip")
    with pytest.raises(DamagedFile, match=f"^{missing}: no such file"):
        TrainSet(annotations, config).sample(1, generator_for(0, 0, 0))
    assert ScoringSet(annotations, config)[1] is None
    assert str(missing) in capsys.readouterr().err
    assert ScoringSet(annotations, config)[0] is not None


def test_pictures_without_persons_need_not_be_there(root):
    coco = small.content()
    small.write_coco(root, coco)
    coco["images"].append({**coco["images"][0], "id": 55, "file_name": "55.jpg"})
    small.annotate(root, coco)
    assert len(read_coco(root, "val2017")) == 3


@pytest.mark.parametrize(
    "box", [[40, 20, 0, 80], [40, 20, 60, -3], [300, 20, 60, 80], [-90, 20, 60, 80], [5, 5, 1, 1]]
)
def test_boxes_of_no_area_or_outside_are_dropped_and_counted(root, box):
    coco = small.content()
    coco["annotations"][1]["bbox"] = box
    found = read_coco(small.write_coco(root, coco), "val2017")
    assert found.ids.tolist() == [100, 102]
    assert "1 with a box of no area or outside the picture" in found.summary()


def test_an_area_of_zero_counts_too(root):
    coco = small.content()
    coco["annotations"][1]["area"] = 0
    assert read_coco(small.write_coco(root, coco), "val2017").ids.tolist() == [100, 102]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty (0 bytes)"]),
        ("{}", ["not a COCO file", "'images' and 'annotations'"]),
        ("[]", ["not a COCO file"]),
        ('{"images": [], "annotations": []}', ["has no persons"]),
        ("{'images': []}", ["not valid JSON"]),
    ],
)
def test_an_empty_annotation_file(root, text, words):
    file = small.annotate(small.write_coco(root), text)
    refused_coco(root, file, *words)


def test_an_annotation_file_cut_short_anywhere(root):
    small.write_coco(root)
    whole = json.dumps(small.content())
    for length in range(1, len(whole), 97):
        file = small.annotate(root, whole[:length])
        refused_coco(root, file, "is cut short")


def test_an_archive_named_json(root):
    file = small.annotate(small.write_coco(root), "")
    file.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe\xfd")
    refused_coco(root, file, "archive")


def test_persons_that_all_lack_joints(root):
    coco = small.content()
    for entry in coco["annotations"]:
        entry["keypoints"] = [0] * 51
    small.write_coco(root, coco)
    refused_coco(root, "person_keypoints_val2017.json", "no person with joints")


def test_instances_instead_of_keypoints(root):
    coco = small.content()
    for entry in coco["annotations"]:
        del entry["keypoints"]
    small.write_coco(root, coco)
    refused_coco(root, "no 'keypoints'", "not instances_*.json")


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("keypoints", ["no key", [], None])
def test_persons_whose_joints_nobody_marked_are_counted(root, on_error, keypoints):
    coco = small.content()
    coco["annotations"][1]["keypoints"] = keypoints
    if keypoints == "no key":
        del coco["annotations"][1]["keypoints"]
    found = read_coco(small.write_coco(root, coco), "val2017", on_error)
    assert found.ids.tolist() == [100, 102]
    assert "1 without joints" in found.summary()
    # Whoever is found there is not counted as wrong.
    truth = found.ground_truth()
    assert [entry["id"] for entry in truth["annotations"]] == [100, 101, 102]
    answers = [
        {"image_id": number, "category_id": 1, "keypoints": small.person(0, 0)["keypoints"]}
        for number in (7, 8, 9)
    ]
    scores = coco_scores(truth, [{**one, "score": 1} for one in answers], np.array(COCO.sigmas))
    assert scores["AP"] == pytest.approx(1)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_joint_lists_of_the_wrong_length(root, on_error):
    coco = small.content()
    coco["annotations"][2]["keypoints"] = [1] * 48
    small.write_coco(root, coco)
    refused(
        lambda: read_coco(root, "val2017", on_error),
        root / "annotations" / "person_keypoints_val2017.json",
        "annotation 102",
        "48 numbers",
        "17 joints * 3 = 51",
    )


@pytest.mark.parametrize("field", ["bbox", "keypoints"])
@pytest.mark.parametrize("value", ["2", [1]])
def test_what_is_no_number(root, field, value):
    """Scoring takes the file's own values, long after they were read."""
    coco = small.content()
    coco["annotations"][1][field][2] = value
    file = small.write_coco(root, coco) / "annotations" / "person_keypoints_val2017.json"
    line = refused(lambda: read_coco(root, "val2017", "skip"), file)
    assert f"101 has {value!r} in '{field}'" in line or f"not all '{field}' are numbers" in line


def test_a_crowd_is_zero_or_one(root):
    coco = small.content()
    coco["annotations"][1]["iscrowd"] = "0"
    small.write_coco(root, coco)
    refused_coco(root, "annotation 101 has the 'iscrowd' '0'; it must be 0 or 1")


def test_an_area_that_is_not_finite(root):
    coco = small.content()
    coco["annotations"][1]["area"] = float("inf")
    small.write_coco(root, coco)
    refused_coco(root, "not finite", "first 101", "--data.on_error skip")
    assert read_coco(root, "val2017", on_error="skip").ids.tolist() == [100, 102]


@pytest.mark.parametrize("field", ["bbox", "keypoints"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_numbers_that_are_not_finite(root, field, number):
    coco = small.content()
    coco["annotations"][1][field][2] = number
    file = small.write_coco(root, coco) / "annotations" / "person_keypoints_val2017.json"
    refused_coco(root, file, "not finite", "first 101", "--data.on_error skip")
    found = read_coco(root, "val2017", on_error="skip")
    assert found.ids.tolist() == [100, 102]
    assert "1 with numbers that are not finite" in found.summary()
    # Nor are they scored: a similarity that is not a number would match whatever is found.
    assert [person["id"] for person in found.ground_truth()["annotations"]] == [100, 102]


def test_an_area_that_is_not_a_number_is_not_scored(root):
    coco = small.content()
    coco["annotations"][1]["area"] = float("nan")
    found = read_coco(small.write_coco(root, coco), "val2017", on_error="stop")
    assert [person["id"] for person in found.ground_truth()["annotations"]] == [100, 102]


def test_words_instead_of_numbers(root):
    coco = small.content()
    coco["annotations"][1]["bbox"][2] = "wide"
    refused_coco(small.write_coco(root, coco), "person_keypoints_val2017.json", "not all 'bbox'")


def test_what_is_listed_twice(root):
    coco = small.content()
    coco["annotations"][1]["id"] = 100
    file = small.write_coco(root, coco) / "annotations" / "person_keypoints_val2017.json"
    refused_coco(root, file, "annotation id 100 is listed twice")
    coco = small.content()
    coco["images"].append(coco["images"][1])
    small.annotate(root, coco)
    refused_coco(root, file, "picture id 8 is listed twice")
    coco["images"][3] = {**coco["images"][1], "id": 77}
    small.annotate(root, coco)
    refused_coco(root, file, "picture 000000000008.jpg is listed twice")


def test_a_person_in_a_picture_that_is_not_listed(root):
    coco = small.content()
    coco["annotations"][0]["image_id"] = 999
    refused_coco(small.write_coco(root, coco), "annotation 100", "picture 999")
    found = read_coco(root, "val2017", "skip")
    assert found.ids.tolist() == [101, 102]
    assert "1 damaged, first annotation 100" in found.summary()
    assert [entry["id"] for entry in found.ground_truth()["annotations"]] == [101, 102]


@pytest.mark.parametrize(
    ("part", "key", "words"),
    [
        ("images", "width", "picture 8 has no 'width'"),
        ("images", "file_name", "picture 8 has no 'file_name'"),
        ("annotations", "bbox", "annotation 101 has no 'bbox'"),
    ],
)
def test_a_field_that_is_missing(root, part, key, words):
    coco = small.content()
    small.write_coco(root, coco)
    del coco[part][1][key]
    refused_coco(small.annotate(root, coco).parents[1], words)


@pytest.mark.parametrize("area", ["2400", True, [2400]], ids=["text", "truth value", "list"])
def test_an_area_that_is_no_number(root, area):
    coco = small.content()
    coco["annotations"][1]["area"] = area
    refused_coco(small.write_coco(root, coco), f"annotation 101 has the area {area!r}")


def test_areas_and_crowds_that_the_file_does_not_say(root):
    """A person's area is then that of the box, and nobody is a crowd."""
    coco = small.content()
    del coco["annotations"][0]["area"], coco["annotations"][0]["iscrowd"]
    coco["annotations"][1] |= {"area": None, "iscrowd": None}
    found = read_coco(small.write_coco(root, coco), "val2017")
    assert found.ids.tolist() == [100, 101, 102]
    answers = [
        {key: person[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for person in coco["annotations"]
    ]
    answers[0]["keypoints"] = [number + 2 for number in answers[0]["keypoints"]]
    scores = coco_scores(found.ground_truth(), answers, np.array(COCO.sigmas))
    for entry in coco["annotations"][:2]:
        entry |= {"area": 60 * 80, "iscrowd": 0}
    assert scores == coco_scores(coco, answers, np.array(COCO.sigmas))
    assert 0 < scores["AP"] < 1
