"""Box files for people's own pictures: every form, and everything that can be wrong with one."""

import json
from pathlib import Path

import pytest

from common.errors import DamagedFile, UserError
from tasks.pose.boxes import Box, read_picture_boxes, whole_picture

PICTURES = [Path("in/a.jpg"), Path("in/000000000042.jpg")]
FIRST, SECOND = Box((1.0, 2.0, 30.0, 40.0), 0.9), Box((5.0, 6.0, 70.0, 80.0), 0.3)


def write(tmp_path, content, name="boxes.json"):
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_detectors_list_by_file_name_and_by_image_id(tmp_path):
    content = [
        {"file_name": "a.jpg", "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9},
        {"image_id": 42, "bbox": [5, 6, 70, 80], "score": 0.3},
        {"image_id": 42, "category_id": 18, "bbox": [5, 6, 70, 80], "score": 1.0},
        {"file_name": "elsewhere.jpg", "bbox": [5, 6, 70, 80], "score": 0.3},
    ]
    file = write(tmp_path, content)
    assert read_picture_boxes(file, PICTURES, 0) == {PICTURES[0]: [FIRST], PICTURES[1]: [SECOND]}
    for content[1]["image_id"] in (42.0, "000000000042.jpg"):
        content[1]["file_name"] = None
        assert SECOND in read_picture_boxes(write(tmp_path, content), PICTURES, 0)[PICTURES[1]]
    # A picture whose boxes are all too weak has boxes, but none to take.
    assert read_picture_boxes(file, PICTURES, 0.5) == {PICTURES[0]: [FIRST], PICTURES[1]: []}


def test_boxes_by_picture(tmp_path):
    file = write(tmp_path, {"in/a.jpg": [[1, 2, 30, 40], [5, 6, 70, 80]], "b.jpg": []})
    got = read_picture_boxes(file, PICTURES, 0)
    assert got == {PICTURES[0]: [FIRST._replace(score=1.0), SECOND._replace(score=1.0)]}


def test_a_name_of_digits_that_is_no_number(tmp_path):
    """Superscripts are digits to Python, but no numbers."""
    picture = Path("in/\u00b2.jpg")
    file = write(tmp_path, {"\u00b2.jpg": [[1, 2, 30, 40]]})
    assert list(read_picture_boxes(file, [picture], 0)) == [picture]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("score", [True, False])
def test_csv(tmp_path, score, mark):
    header = mark + "file_name,x,y,width,height" + ",score" * score
    row = "a.jpg,1,2,30,40" + ",0.9" * score
    file = write(tmp_path, f"{header}\n{row}\n", "boxes.csv")
    expected = FIRST if score else FIRST._replace(score=1.0)
    assert read_picture_boxes(file, PICTURES, 0) == {PICTURES[0]: [expected]}


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([1, 2, float("nan"), 4], "not finite"),
        ([1, float("inf"), 3, 4], "not finite"),
        ([1, 2, 0, 4], "no area"),
        ([1, 2, 3, -4], "no area"),
        ([1, 2, 3], "not x, y, width, height"),
        (["a", 2, 3, 4], "not x, y, width, height"),
        (None, "not x, y, width, height"),
    ],
)
def test_a_bad_box_stops_or_is_skipped(tmp_path, box, message):
    entries = [{"file_name": "a.jpg", "bbox": b, "score": 0.9} for b in ([1, 2, 30, 40], box)]
    file = write(tmp_path, entries)
    with pytest.raises(DamagedFile, match=message) as caught:
        read_picture_boxes(file, PICTURES, 0)
    assert str(caught.value).startswith(str(file))
    assert "a.jpg" in str(caught.value)
    assert read_picture_boxes(file, PICTURES, 0, "skip") == {PICTURES[0]: [FIRST]}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ('{"a.jpg": 3}', "boxes.json", "not in a known form"),
        ('[{"bbox": [1, 2, 3, 4]}]', "boxes.json", "not in a known form"),
        ("[1, 2]", "boxes.json", "not in a known form"),
        ('[{"image_id": 1.5, "bbox": [1, 2, 3, 4]}]', "boxes.json", "not in a known form"),
        ('[{"image_id": null, "bbox": [1, 2, 3, 4]}]', "boxes.json", "not in a known form"),
        ("x,y,width,height,file_name\n1,2,3,4\n", "boxes.csv", "names none of the 2 pictures"),
        ("file,x\na.jpg,3\n", "boxes.csv", "not in a known form"),
        ('{"a.jpg": [[1, 2', "boxes.json", "cut short"),
        ("", "boxes.json", "empty"),
        ('{"other.jpg": [[1, 2, 3, 4]]}', "boxes.json", "names none of the 2 pictures"),
        ("[]", "boxes.json", "names none of the 2 pictures"),
    ],
)
def test_a_file_in_no_form_or_of_other_pictures(tmp_path, content, name, message):
    file = write(tmp_path, content, name)
    with pytest.raises(UserError, match=message) as caught:
        read_picture_boxes(file, PICTURES, 0)
    assert str(file) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_picture_boxes(tmp_path / "none.json", PICTURES, 0)


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    pictures = [Path("left/a.jpg"), Path("right/a.jpg")]
    file = write(tmp_path, {"right/a.jpg": [[1, 2, 30, 40]]})
    assert list(read_picture_boxes(file, pictures, 0)) == [pictures[1]]
    file = write(tmp_path, {"a.jpg": [[1, 2, 30, 40]]})
    with pytest.raises(UserError, match="can mean"):
        read_picture_boxes(file, pictures, 0)


def test_the_whole_picture_is_one_box():
    assert whole_picture(120, 160) == Box((0.0, 0.0, 160.0, 120.0), 1.0)
