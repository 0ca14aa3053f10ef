"""The layout and the picture list that all data sets in COCO's form share."""

import pytest

from common.errors import DamagedFile
from common.reading import coco
from tests.common.reading.refusal import refused


def entry(number, **changes):
    return {"id": number, "file_name": f"{number}.jpg", "width": 4, "height": 3, **changes}


def test_pictures_by_id_in_the_files_order(tmp_path):
    content = {"images": [entry(7), entry(3)], "annotations": []}
    assert list(coco.pictures(content, tmp_path)) == [7, 3]
    content["images"][0]["width"] = 4.0  # as some tools write it
    assert coco.pictures(content, tmp_path)[7] == ("7.jpg", 3, 4)
    del content["annotations"]  # of a test set
    assert list(coco.pictures(content, tmp_path)) == [7, 3]


@pytest.mark.parametrize(
    ("images", "word"),
    [
        ([entry(1), entry(1, file_name="2.jpg")], "picture id 1 is listed twice"),
        ([entry(1), entry(2, file_name="1.jpg")], "picture 1.jpg is listed twice"),
        ([{"id": 1, "file_name": "1.jpg", "width": 4}], "picture 1 has no 'height'"),
        ([entry(1), {"width": 4}], "picture number 1 has no 'id'"),
        ([entry(1), None], "picture number 1 is None, not an object"),
        ([entry("1")], "a picture has the 'id' '1'"),
        ([entry(None)], "a picture has the 'id' None"),
        ([entry(2**63)], "a picture has the 'id' 9223372036854775808"),
        ([entry(1, file_name=None)], "picture 1 has the file_name None"),
        ([entry(1, file_name="")], "picture 1 has the file_name ''"),
        ([entry(1, width="4")], "picture 1 has a width of '4'"),
        ([entry(1, width=0)], "picture 1 has a width of 0"),
        ([entry(1, height=3.5)], "picture 1 has a height of 3.5"),
        ([entry(1, height=float("nan"))], "picture 1 has a height of nan"),
        ([entry(1, height=True)], "picture 1 has a height of True"),
    ],
)
def test_damaged_picture_lists(tmp_path, images, word):
    with pytest.raises(DamagedFile, match=word):
        coco.pictures({"images": images, "annotations": []}, tmp_path)


@pytest.mark.parametrize("content", [[], {"images": []}, {"images": {}, "annotations": []}])
def test_what_is_no_coco_file(tmp_path, content):
    refused("is not a COCO file", coco.pictures, content, tmp_path)


def object_of(number, **changes):
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], **changes}


def test_annotations_in_the_files_order(tmp_path):
    listed = [object_of(2), object_of(1)]
    assert coco.annotations({"annotations": listed}, tmp_path) == listed


def test_segments_are_no_objects(tmp_path):
    entries = [{"image_id": 1, "file_name": "1.png", "segments_info": []}]
    refused("lists segments", coco.annotations, {"annotations": entries}, tmp_path)


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([7], "annotation number 0 is 7, not an object"),
        ([{"id": 5}], "annotation 5 has no 'image_id'"),
        ([object_of("a")], "annotation a has the 'id' 'a'; it must be a whole number"),
        ([object_of(3, image_id="1")], "annotation 3 has the 'image_id' '1'"),
        ([object_of(3, category_id=1.5)], "annotation 3 has the 'category_id' 1.5"),
        ([object_of(3, category_id=None)], "annotation 3 has the 'category_id' None"),
        ([object_of(-(2**63) - 1)], "must be a whole number"),
        ([object_of(3), object_of(3)], "annotation id 3 is listed twice"),
    ],
)
def test_damaged_annotations(tmp_path, entries, word):
    with pytest.raises(DamagedFile, match=word):
        coco.annotations({"annotations": entries}, tmp_path)
