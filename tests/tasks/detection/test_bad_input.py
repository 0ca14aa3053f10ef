"""Every kind of bad data: what is said, and that one line says it, with the file and the id."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from common.training.sampling import generator_for
from tasks.detection.config import Config, DataConfig, ModelConfig
from tasks.detection.data import ScoringSet, TrainSet
from tests.tasks.detection import small
from tests.tasks.detection.small import read_split

FILE = "instances_val2017.json"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


def refused(read, *words, kind=UserError):
    """The one line that is said; it must contain the words."""
    with pytest.raises(kind) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert str(word) in line
    return line


def read(root, split="val2017", **changes):
    return read_split(root, split, replace(small.PLAIN, **changes))


def with_entry(root, **changes):
    """A set whose annotation 501 is changed; a value of None takes the key away."""
    coco = small.content()
    entry = {**coco["annotations"][0], **changes}
    coco["annotations"][0] = {key: value for key, value in entry.items() if value is not None}
    small.annotate(small.write(root), coco)
    return root


# --- layout ---


def test_wrong_roots(root):
    refused(lambda: read(root), f"--data.root {root}", "no such folder")
    small.write(root)
    refused(lambda: read(root / "annotations"), f"say --data.root {root}")
    refused(lambda: read(root.parent), f"say --data.root {root}")
    refused(lambda: read(root, "train"), "its splits are val2017")


def test_the_file_of_another_task(root):
    small.write(root)
    (root / "annotations" / FILE).rename(root / "annotations" / "person_keypoints_val2017.json")
    refused(lambda: read(root), f"annotations/{FILE}")


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "is empty (0 bytes)"), ('{"images": [', "is cut short"), ("[]", "is not a COCO file")],
)
def test_empty_and_broken_files(root, text, word):
    small.annotate(small.write(root), text)
    refused(lambda: read(root), FILE, word)


def test_a_file_without_objects(root):
    coco = {**small.content(), "annotations": []}
    found = read(small.write(root, coco))
    assert not found.scored
    refused(lambda: TrainSet(found, small.PLAIN), FILE, "has no object to train on or to score by")


# --- categories and ids ---


def test_gaps_in_category_ids_are_fine(root):
    found = read(small.write(root))
    assert found.labels.max() == 3
    assert [category.id for category in found.categories] == [1, 17, 44]


def test_an_unknown_category(root):
    with_entry(root, category_id=18)
    refused(lambda: read(root), FILE, "annotation 501 is of category 18", "ids 1, 17, 44")


def test_categories_that_contradict_each_other(root):
    coco = small.content()
    small.write(root, coco)
    for category, words in (
        ({"id": 17, "name": "dog"}, "category id 17 is listed twice"),
        ({"id": 18, "name": "cat"}, "category cat is listed twice"),
        ({"id": 18}, "category 18 has no 'name'"),
        ({"name": "dog"}, "category number 3 has no 'id'"),
        ("dog", "category number 3 is 'dog', not an object"),
        ({"id": 18, "name": 3}, "category 18 has the name 3; it must be a text"),
        ({"id": 18, "name": None}, "category 18 has the name None; it must be a text"),
        ({"id": "x", "name": "dog"}, "must be a whole number"),
    ):
        small.annotate(root, {**coco, "categories": [*coco["categories"], category]})
        refused(lambda: read(root), FILE, words, kind=DamagedFile)
    del coco["categories"]
    small.annotate(root, coco)
    refused(lambda: read(root), FILE, "no list 'categories'")


def test_ids_that_occur_twice_or_are_none(root):
    coco = small.content()
    small.write(root, coco)
    coco["annotations"][1]["id"] = 501
    small.annotate(root, coco)
    refused(lambda: read(root), FILE, "annotation id 501 is listed twice")
    coco["annotations"][1]["id"] = "a"
    small.annotate(root, coco)
    refused(lambda: read(root), "the 'id' 'a'", "whole number")
    coco = small.content()
    coco["images"][1] = {**coco["images"][0], "file_name": "x.jpg"}
    small.annotate(root, coco)
    refused(lambda: read(root), FILE, "picture id 7 is listed twice")


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox"])
def test_a_missing_key(root, key):
    with_entry(root, **{key: None})
    refused(lambda: read(root), FILE, f"annotation 501 has no '{key}'", kind=DamagedFile)


def test_a_picture_of_no_size(root):
    coco = small.content()
    small.write(root, coco)
    coco["images"][0]["width"] = 0
    small.annotate(root, coco)
    refused(lambda: read(root), FILE, "picture 7 has a width of 0")


# --- entries that stop a run, or are skipped and counted ---


DAMAGED = [
    ({"image_id": 99}, "annotation 501 is of picture 99, which is not in 'images'"),
    ({"bbox": [1, 2, float("nan"), 4]}, "annotation 501 has a box with numbers that are not"),
    ({"bbox": [1, float("inf"), 3, 4]}, "annotation 501 has a box with numbers that are not"),
    ({"bbox": [1, 2, 3]}, "annotation 501 has no 'bbox' of four numbers"),
    ({"bbox": [1, 2, 3, "x"]}, "annotation 501 has no 'bbox' of four numbers"),
    ({"area": float("nan")}, "annotation 501 has an area of nan"),
    ({"area": -3}, "annotation 501 has an area of -3"),
    ({"area": "x"}, "annotation 501 has no 'bbox' of four numbers (left, top, width, height) or"),
    ({"segmentation": [[1, 2, 3, 4]]}, "annotation 501 has a polygon of 2 points"),
    ({"segmentation": [[1, 2, 3, 4, 5]]}, "annotation 501 has a polygon of an odd number"),
    ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "annotation 501 has a polygon with"),
    (
        {"segmentation": small.runs(np.ones((160, 120), np.uint8))},
        "annotation 501 has run lengths of size [160, 120]",
    ),
    ({"iscrowd": "0"}, "annotation 501 has the 'iscrowd' '0'; it must be 0 or 1"),
    (
        {"segmentation": {"size": [120, 160], "counts": [10, 20]}},
        "annotation 501 has run lengths of 30 pixels, its picture has 19,200",
    ),
]


@pytest.mark.parametrize(("changes", "words"), DAMAGED)
def test_damaged_entries(root, changes, words):
    with_entry(root, **changes)
    line = refused(lambda: read(root), root / "annotations" / FILE, words, kind=DamagedFile)
    assert line.endswith("correct it, or say --data.on_error skip")
    found = read(root, on_error="skip")
    assert found.ids.tolist() == [101, 102, 103]
    assert "left out: 1 damaged, first annotation 501" in found.summary()


def test_several_damaged_entries_are_counted(root):
    coco = small.content()
    for entry in coco["annotations"][:3]:
        entry["segmentation"] = [[1, 2, 3, 4]]
    refused(lambda: read(small.write(root, coco)), "annotation 501", "(2 more are damaged)")


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 0, 5],
        [10, 10, 5, 0],
        [10, 10, -4, 5],
        [small.WIDTH, 10, 5, 5],
        [10, -8, 5, 8],
        [500, 500, 5, 5],
    ],
)
def test_boxes_of_no_area_or_outside_are_left_out_and_told(root, box):
    """Official training annotations have a few of these, so they do not stop a run."""
    found = read(with_entry(root, bbox=box))
    assert found.ids.tolist() == [101, 102, 103]
    assert "1 with a box of no area or outside the picture, first annotation 501" in found.summary()
    assert len(found.objects(1)) == 0


def test_no_box_at_all(root):
    coco = small.content()
    for entry in coco["annotations"]:
        entry["bbox"] = [10, 10, 0, 0]
    refused(lambda: read(small.write(root, coco)), FILE, "no object with a box among 4 entries")


# --- pictures ---


def test_missing_pictures(root):
    missing = small.write(root) / "images" / "val2017" / "000000000009.jpg"
    missing.unlink()
    refused(lambda: read(root), FILE, "names 3 pictures, 1 of them are missing", missing)
    config = replace(small.PLAIN, on_error="skip")
    found = read_split(root, "val2017", config)
    assert ScoringSet(found, config)[2] is None
    assert ScoringSet(found, config)[1] is not None


def test_a_truncated_picture(root, capsys):
    path = small.write(root) / "images" / "val2017" / "000000000007.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    found = read(root)
    for use in (
        lambda: TrainSet(found, small.PLAIN).sample(0, generator_for(0, 0, 0)),
        lambda: ScoringSet(found, small.PLAIN)[0],
    ):
        line = refused(use, "cut short", kind=DamagedFile)
        assert line.startswith(str(path))
    assert ScoringSet(found, replace(small.PLAIN, on_error="skip"))[0] is None
    assert str(path) in capsys.readouterr().err


def test_a_picture_that_was_turned_or_scaled(root):
    path = small.write(root) / "images" / "val2017" / "000000000007.jpg"
    found = read(root)
    for size, word in (((120, 160), "turned after it was annotated"), ((80, 60), "scaled or")):
        Image.new("RGB", size).save(path)
        refused(lambda: ScoringSet(found, small.PLAIN)[0], path, FILE, "160x120", word)


def test_a_damaged_picture_to_paste_from_is_named(root):
    path = small.write(root) / "images" / "val2017" / "000000000008.jpg"
    config = replace(small.PLAIN, copy_paste_probability=1.0)
    dataset = TrainSet(read_split(root, "val2017", config), config)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DamagedFile, match=str(path)):
        for epoch in range(20):
            dataset.sample(0, generator_for(0, epoch, 0))


# --- VOC ---


def voc(root, **changes):
    return read(root, "trainval", format="voc", masks=False, **changes)


def test_bad_voc_layouts(root):
    refused(lambda: voc(root), "no such folder")
    small.write_voc(root / "VOC2007")
    refused(lambda: voc(root), f"say --data.root {root / 'VOC2007'}")
    refused(lambda: voc(root / "VOC2007" / "JPEGImages"), f"say --data.root {root / 'VOC2007'}")
    (root / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").rename(root / "elsewhere.txt")
    refused(lambda: voc(root / "VOC2007"), "trainval.txt: no such split; there are none")


def test_missing_voc_files(root):
    small.write_voc(root)
    picture = root / "JPEGImages" / "2007_000002.jpg"
    picture.unlink()
    refused(lambda: voc(root), "trainval.txt", "1 of them are missing", picture)
    (root / "Annotations" / "2007_000001.xml").unlink()
    refused(lambda: voc(root), "1 of their annotations are missing", "2007_000001.xml")
    names = "2007_000002\n2007_000002\n"
    (root / "ImageSets" / "Main" / "trainval.txt").write_text(names)
    refused(lambda: voc(root), "picture 2007_000002 is listed twice")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<annotation><size>", "is not valid XML"),
        ("", "is not valid XML"),
        (small.xml("2007_000002", [], width=-5), "says that its picture is -5 wide"),
        (small.xml("2007_000002", [], width="wide"), "says that its picture is wide wide"),
    ],
)
def test_damaged_xml(root, text, word):
    small.write_voc(root)
    file = root / "Annotations" / "2007_000002.xml"
    file.write_text(text)
    line = refused(lambda: voc(root), word, kind=DamagedFile)
    assert line.startswith(str(file))
    found = voc(root, on_error="skip")
    assert found.image_ids.tolist() == [1, 3]
    assert "1 pictures with a damaged annotation" in found.summary()


def test_damaged_voc_objects(root):
    objects = {"a": [("dog", 1, 1, "x", 4, 0), ("cat", 1, 1, 5, 5, 0), ("cat", 9, 9, 4, 4, 0)]}
    small.write_voc(root, objects)
    words = ("annotation 1", "(object 1 of ", "a.xml", "lacks a side of its box")
    refused(lambda: voc(root), *words, kind=DamagedFile)
    found = voc(root, on_error="skip")
    assert found.ids.tolist() == [2]
    assert "outside the picture, first annotation 3 of a.jpg" in found.summary()


def test_an_unknown_voc_class(root):
    small.write_voc(root, {"a": [("zebra", 1, 1, 5, 5, 0)]})
    refused(lambda: voc(root), "a.xml", "object 1", "'zebra'", "classes.txt")


# --- flags ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("cat", "cat")}, "--data.classes"),
        ({"short_sides": ()}, "--data.short_sides"),
        ({"short_sides": (0,)}, "--data.short_sides"),
        ({"test_short_side": 0}, "--data.test_short_side"),
        ({"longest_side": 95}, "--data.longest_side"),
        ({"flip_probability": 1.5}, "--data.flip_probability"),
        ({"jitter": (0.0, 2.0)}, "--data.jitter"),
        ({"jitter": (2.0, 1.0)}, "--data.jitter"),
        ({"crop_size": (0, 5)}, "--data.crop_size"),
        ({"copy_paste_probability": 0.5, "masks": False}, "--data.masks true"),
        ({"format": "voc"}, "--data.masks false"),
    ],
)
def test_flags_that_make_no_sense(changes, words):
    refused(lambda: DataConfig(**changes), words)


@pytest.mark.parametrize("detector", ["mask_rcnn", "cascade_mask_rcnn"])
def test_what_a_refusal_of_boxes_alone_says_is_taken(detector):
    boxes = DataConfig(masks=False)
    with pytest.raises(UserError) as refusal:
        Config(data=boxes, model=ModelConfig(detector=detector))
    named = re.findall(r"--model.detector (\w+)", str(refusal.value))
    assert named[0] == detector and not ModelConfig(detector=named[1]).masks
    assert Config(data=boxes, model=ModelConfig(detector=named[1])).model.detector == named[1]
