"""Where COCO and the tools that write its form lay the files of a split."""

import json
from pathlib import Path

import pytest

from common.reading import coco
from common.reading.coco_layout import annotation_file, picture_folder
from common.reading.records import SplitFiles
from tests.common.reading.refusal import refused


def write(root, file, *pictures, names=("a.jpg", "b.jpg")):
    """An annotation file that names pictures, and the pictures in their places."""
    for place in (file, *pictures):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    images = [
        {"id": number, "file_name": name, "width": 4, "height": 3}
        for number, name in enumerate(names)
    ]
    (root / file).write_text(json.dumps({"images": images, "annotations": []}))
    return root


LAYOUTS = {
    "COCO": ("annotations/instances_val.json", "images/val/", ("a.jpg",), ""),
    "COCO, as its archives unpack": ("annotations/instances_val.json", "val/", ("a.jpg",), ""),
    "CVAT": ("annotations/instances_val.json", "images/", ("a.jpg",), "pictures in images/"),
    "CVAT, folders in the names": (
        *("annotations/instances_val.json", "images/", ("drive/a.jpg",), "pictures in images/"),
    ),
    "Roboflow": (
        *("val/_annotations.coco.json", "val/", ("a.jpg",)),
        "Roboflow export, val/_annotations.coco.json",
    ),
    "FiftyOne": (
        *("val/labels.json", "val/data/", ("a.jpg",)),
        "FiftyOne export, val/labels.json; pictures in val/data/",
    ),
    "Label Studio": (
        *("val/result.json", "val/", ("images\\a.jpg",)),
        "Label Studio export, val/result.json",
    ),
    "paths of another machine": (
        *("val/result.json", "val/images/", ("C:\\Users\\me\\a.jpg",)),
        "Label Studio export, val/result.json; pictures in val/images/, without the folders that "
        "its names have",
    ),
    "a list of pictures": (
        *("annotations/image_info_val.json", "val/", ("a.jpg",)),
        "a list of pictures, annotations/image_info_val.json",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_found_and_said(tmp_path, layout):
    file, folder, names, said = LAYOUTS[layout]
    bare = "without the folders" in said
    place = folder + (names[0].split("\\")[-1] if bare else names[0].replace("\\", "/"))
    root = write(tmp_path, file, place, names=names)
    (root / "images").mkdir(exist_ok=True)  # an empty one deceives nobody
    found = coco.read(root, "instances", "val")
    assert (found.file, found.layout) == (root / file, said)
    assert [one.file for one in found.pictures.values()] == [root / place]


def test_files_and_folders_under_any_name(tmp_path):
    root = write(tmp_path / "set", "mine.json", "photos/a.jpg", "val/a.jpg")
    for base in (Path(), root):
        files = SplitFiles(base / "mine.json", base / "photos")
        found = coco.read(root, "instances", "val", files)
        assert found.pictures[0].file == root / "photos" / "a.jpg"
        assert found.layout == ""
    refused(
        "--data.train_annotations none.json: no such file",
        *(coco.read, root, "instances", "val", SplitFiles(Path("none.json"), None, "train")),
    )
    for name, words in (("none", "no such folder"), ("mine.json", "is not a folder")):
        files = SplitFiles(Path("mine.json"), Path(name))
        refused(words, coco.read, root, "instances", "val", files)


def test_two_entries_that_become_one_picture(tmp_path):
    root = write(tmp_path, "val/labels.json", "val/a.jpg", names=("x\\a.jpg", "y\\a.jpg"))
    refused("a.jpg is listed twice", coco.read, root, "instances", "val")


def test_what_is_there_instead(tmp_path):
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.parent.mkdir()
    file.touch()
    assert annotation_file(tmp_path, "instances", "val2017") == (file, "")
    hint = f"say --data.root {tmp_path}"
    refused(hint, annotation_file, file.parent, "instances", "val2017")
    refused("its splits are val2017", annotation_file, tmp_path, "instances", "test")
    named = "annotations/instances_val2017.json is there: name each split's file with"
    refused(named, annotation_file, tmp_path, "captions", "val2017")
    refused("no such folder", annotation_file, tmp_path / "none", "instances", "val2017")
    (tmp_path / "annotations_trainval2017.zip").touch()
    refused("not unpacked", annotation_file, tmp_path, "captions", "val2017")
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid" / "_annotations.coco.json").touch()
    refused("its splits are valid: say --data.train_split", *(
        annotation_file, tmp_path, "captions", "val2017"
    ))  # fmt: skip
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    refused("this one has notes.txt", annotation_file, tmp_path / "other", "captions", "val2017")


def test_pictures_that_are_not_there(tmp_path):
    file = tmp_path / "annotations" / "instances_val.json"
    refused("no folder images/val or val", picture_folder, tmp_path, "val", file, ["a.jpg"])
    (tmp_path / "val.zip").touch()
    refused("not unpacked", picture_folder, tmp_path, "val", file, ["a.jpg"])
    (tmp_path / "val").mkdir()
    assert picture_folder(tmp_path, "val", file, ["a.jpg"]).folder == tmp_path / "val"
    (tmp_path / "images" / "val").mkdir(parents=True)
    assert picture_folder(tmp_path, "val", file, []).folder == tmp_path / "images" / "val"


def test_sets_of_other_tools_name_their_format(tmp_path):
    for tool, names in {
        "yolo": ("data.yaml", "images/train/a.jpg", "labels/train/a.txt"),
        "labelme": ("train/a.jpg", "train/a.json", "train/b.png", "train/b.json"),
    }.items():
        for name in names:
            (tmp_path / tool / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / tool / name).touch()
        wanted = f"say --data.format {tool}"
        refused(wanted, annotation_file, tmp_path / tool, "instances", "train2017")
