"""LabelMe's files: shapes become objects, and points the joints of their group."""

import json

import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from common.reading import labelme
from common.reading.records import NOT_NAMED, SplitFiles

JOINTS = ("nose", "left_eye")


def shape(label, points, kind="rectangle", group=None):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, "flags": {}}


DOG = shape("dog", [[50, 40], [10, 20]])
CAT = shape("cat", [[1, 2], [9, 2], [5, 8]], "polygon")


def write(root, stem, *shapes, picture=True, **changes):
    (root / "train").mkdir(parents=True, exist_ok=True)
    content = {
        "shapes": list(shapes), "imagePath": f"{stem}.jpg", "imageHeight": 60, "imageWidth": 80,
        **changes,
    }  # fmt: skip
    (root / "train" / f"{stem}.json").write_text(json.dumps(content))
    if picture:
        Image.new("RGB", (80, 60)).save(root / "train" / f"{stem}.jpg")
    return root


def read(root, split="train", files=NOT_NAMED, on_error="stop", classes=(), joints=()):
    return labelme.read(root, split, files, on_error, classes, joints)


def test_rectangles_and_polygons(tmp_path):
    root = write(tmp_path, "a", DOG, shape("road", [[0, 0], [1, 1]], "line"))
    write(root, "b", CAT)
    Image.new("RGB", (8, 8)).save(root / "train" / "c.jpg")
    found = read(root)
    assert [category.name for category in found.categories] == ["cat", "dog"]
    first, second = found.annotations
    assert (first["bbox"], first["category_id"], first["image_id"]) == ([10, 20, 40, 20], 2, 1)
    assert "segmentation" not in first
    assert (second["bbox"], second["category_id"]) == ([1, 2, 8, 6], 1)
    assert second["segmentation"] == [[1, 2, 9, 2, 5, 8]]
    assert found.pictures[2] == (root / "train" / "b.jpg", 60, 80)
    assert found.dropped == {"shapes of the type line": 1, "pictures without a JSON file": 1}
    assert found.layout == "LabelMe, 2 JSON files in train/"
    named = read(root, classes=("dog", "cow"))
    assert [category.name for category in named.categories] == ["dog", "cow", "cat"]


def test_the_joints_of_a_group(tmp_path):
    people = [shape("person", [[0, 0], [30, 50]], group=1), shape("person", [[40, 0], [70, 50]])]
    points = [shape("nose", [[10, 5]], "point", 1), shape("left_eye", [[60, 4]], "point")]
    root = write(tmp_path, "a", *people, *points, shape("nose", [[1, 1]], "point", 7))
    found = read(root, classes=("person",), joints=JOINTS)
    assert [one["keypoints"] for one in found.annotations] == [
        [10, 5, 2, 0, 0, 0], [0, 0, 0, 60, 4, 2],
    ]  # fmt: skip
    assert found.dropped["groups of joints without an object of their own"] == 1
    assert [one.name for one in found.categories] == ["person"]
    assert read(root).dropped["shapes of the type point"] == 3


def test_where_pictures_and_files_lie(tmp_path):
    root = write(tmp_path / "set", "a", DOG, picture=False, imagePath="..\\photos\\a.jpg")
    place = root / "photos" / "a.jpg"
    place.parent.mkdir()
    Image.new("RGB", (80, 60)).save(place)
    assert read(root).pictures[1].file.resolve() == place
    write(root, "a", DOG, picture=False, imagePath="C:\\me\\a.jpg", imageHeight=None)
    files = SplitFiles(root / "train", root / "photos")
    assert read(root, "none", files).pictures[1] == (place, 60, 80)
    with pytest.raises(UserError, match=r"folders with such are train: say --data.train_split"):
        read(root, "none")
    with pytest.raises(UserError, match="has no JSON file"):
        read(root, "photos")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (shape("dog", [[1, 2]]), "has no 'points' of 2 or more x, y"),
        (shape("dog", [[1, 2], [3, 4]], "polygon"), "has no 'points' of 3 or more"),
        (shape("dog", None), "has no 'points'"),
        (shape("dog", [[1, 2], [3, "x"]]), "has no 'points'"),
        (shape("dog", [[1, 2], [3, float("nan")]]), "are not finite"),
        (shape(None, [[1, 2], [3, 4]]), "has the label None"),
    ],
)
def test_shapes_that_are_wrong(tmp_path, entry, words):
    found = read(write(tmp_path, "a", DOG, entry))
    assert len(found.annotations) == 1
    assert words in found.faults[2]
    assert "a.json" in found.faults[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shapes": None}, "has no list 'shapes'"),
        ({"imagePath": None}, "the imagePath None"),
        ({"imageHeight": 0, "imagePath": "none.jpg"}, "no such file"),
    ],
)
def test_files_that_are_wrong(tmp_path, changes, words):
    root = write(tmp_path, "b", DOG)
    write(root, "a", **changes)
    with pytest.raises(DamagedFile, match=words):
        read(root)
    found = read(root, on_error="skip")
    assert list(found.pictures) == [2]
    assert found.dropped["pictures with a damaged annotation"] == 1
    assert found.dropped["pictures without a JSON file"] == 0
