"""Box files for people's own pictures: every form, and everything that can be wrong with one."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.pose import boxes
from tasks.pose.boxes import Box, Place, as_box, whole_picture

PICTURES = [Path("in/a.jpg"), Path("in/000000000042.jpg")]
FIRST, SECOND = Box((1.0, 2.0, 30.0, 40.0), 0.9), Box((5.0, 6.0, 70.0, 80.0), 0.3)


def read_picture_boxes(*arguments):
    """Boxes by the pictures' paths."""
    return {place.path: found for place, found in boxes.read_picture_boxes(*arguments).items()}


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
        ("x,y,width,height,file_name\n1,2,3,4\n", "boxes.csv", "names none of the 2 inputs"),
        ("file,x\na.jpg,3\n", "boxes.csv", "not in a known form"),
        ('{"a.jpg": [[1, 2', "boxes.json", "cut short"),
        ("", "boxes.json", "empty"),
        ('{"other.jpg": [[1, 2, 3, 4]]}', "boxes.json", "names none of the 2 inputs"),
        ("[]", "boxes.json", "names none of the 2 inputs"),
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


VIDEO = Path("in/clip.mp4")


def test_boxes_of_a_videos_frames(tmp_path):
    listed = [
        {"file_name": "clip.mp4", "frame": frame, "bbox": [1, 2, 30, 40], "score": score}
        for frame, score in ((0, 0.9), (2, 0.3), (2, 0.9))
    ]
    content = [*listed, {"file_name": "a.jpg", "bbox": [1, 2, 30, 40], "score": 0.9}]
    got = boxes.read_picture_boxes(write(tmp_path, content), [*PICTURES, VIDEO], 0.5)
    assert got == {Place(VIDEO, 0): [FIRST], Place(VIDEO, 2): [FIRST], Place(PICTURES[0]): [FIRST]}
    table = "file_name,frame,x,y,width,height,score\nclip.mp4,2,1,2,30,40,0.9\n"
    got = boxes.read_picture_boxes(write(tmp_path, table, "boxes.csv"), [VIDEO], 0)
    assert got == {Place(VIDEO, 2): [FIRST]}


@pytest.mark.parametrize("frame", [None, -1, 1.5, "first"])
def test_a_box_in_no_frame_of_its_video_stops_or_is_skipped(tmp_path, frame):
    entry = {"file_name": "clip.mp4", "bbox": [1, 2, 30, 40], "score": 0.9}
    file = write(tmp_path, [{**entry, "frame": 0}, {**entry, "frame": frame}])
    with pytest.raises(DamagedFile, match=f"box 1 .*has the frame {frame}; needed is its number"):
        boxes.read_picture_boxes(file, [VIDEO], 0)
    assert boxes.read_picture_boxes(file, [VIDEO], 0, "skip") == {Place(VIDEO, 0): [FIRST]}


def test_rows_as_boxes():
    assert as_box(FIRST) is FIRST
    assert as_box(np.array([1, 2, 30, 40])) == as_box((1, 2, 30, 40)) == FIRST._replace(score=1.0)
    for row in ((1, 2, 3), (1, 2, 0, 4), (1, 2, np.nan, 4)):
        with pytest.raises(ValueError, match="a box is"):
            as_box(row)


def test_where_classes_are_named_the_name_tells_persons(tmp_path):
    """Other detectors count other classes first."""
    box = {"bbox": [1, 2, 30, 40], "score": 0.9}
    cat = {"file_name": "a.jpg", "class": "cat", "category_id": 1, **box}
    person = {"image_id": 42, "class": "person", "category_id": 2, **box}
    file = write(tmp_path, [cat, person])
    assert read_picture_boxes(file, PICTURES, 0) == {PICTURES[1]: [FIRST]}
    file = write(tmp_path, [cat | {"class": "worker"}, person | {"class": "worker"}])
    assert read_picture_boxes(file, PICTURES, 0) == {PICTURES[0]: [FIRST]}, "by number"
