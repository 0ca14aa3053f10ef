"""The layout and the picture list that all data sets in COCO's form share."""

import pytest

from common import coco
from common.errors import DamagedFile, UserError


def entry(number, **changes):
    return {"id": number, "file_name": f"{number}.jpg", "width": 4, "height": 3, **changes}


def refused(words, call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    assert words in line


def test_the_annotation_file_of_a_kind_and_split(tmp_path):
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.parent.mkdir()
    file.touch()
    assert coco.annotation_file(tmp_path, "instances", "val2017") == file
    hint = f"say --data.root {tmp_path}"
    refused(hint, coco.annotation_file, file.parent, "instances", "val2017")
    refused("its splits are val2017", coco.annotation_file, tmp_path, "instances", "test")
    refused("this one has annotations", coco.annotation_file, tmp_path, "captions", "val2017")
    refused("no such folder", coco.annotation_file, tmp_path / "none", "instances", "val2017")
    (tmp_path / "annotations_trainval2017.zip").touch()
    refused("not unpacked", coco.annotation_file, tmp_path, "captions", "val2017")


def test_the_picture_folder(tmp_path):
    refused("no folder images/val or val", coco.picture_folder, tmp_path, "val")
    (tmp_path / "val.zip").touch()
    refused("not unpacked", coco.picture_folder, tmp_path, "val")
    (tmp_path / "val").mkdir()
    assert coco.picture_folder(tmp_path, "val") == tmp_path / "val"
    (tmp_path / "images" / "val").mkdir(parents=True)
    assert coco.picture_folder(tmp_path, "val") == tmp_path / "images" / "val"


def test_pictures_by_id_in_the_files_order(tmp_path):
    content = {"images": [entry(7), entry(3)], "annotations": []}
    assert list(coco.pictures(content, tmp_path)) == [7, 3]


@pytest.mark.parametrize(
    ("images", "word"),
    [
        ([entry(1), entry(1, file_name="2.jpg")], "picture id 1 is listed twice"),
        ([entry(1), entry(2, file_name="1.jpg")], "picture 1.jpg is listed twice"),
        ([{"id": 1, "file_name": "1.jpg", "width": 4}], "has no 'height'"),
    ],
)
def test_damaged_picture_lists(tmp_path, images, word):
    with pytest.raises(DamagedFile, match=word):
        coco.pictures({"images": images, "annotations": []}, tmp_path)


@pytest.mark.parametrize("content", [[], {"images": []}, {"images": {}, "annotations": []}])
def test_what_is_no_coco_file(tmp_path, content):
    refused("is not a COCO file", coco.pictures, content, tmp_path)
