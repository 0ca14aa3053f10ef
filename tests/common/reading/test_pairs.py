"""Pictures paired with their labels."""

import re

import pytest

from common.errors import UserError
from common.reading import pairs


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_folders_pair_by_stem_and_skip_what_is_no_picture(tmp_path):
    images = touch(tmp_path / "i", "b.JPG", "a.jpg", "Thumbs.db", "notes.txt", "._a.jpg")
    labels = touch(tmp_path / "l", "a.png", "b.jpg", "c.png")
    found = pairs.from_folders(images, labels)
    assert found == [(images / "a.jpg", labels / "a.png"), (images / "b.JPG", labels / "b.jpg")]


@pytest.mark.parametrize(
    ("image_names", "label_names", "message"),
    [
        (["a.jpg", "b.jpg"], ["a.png"], "no label for 1 of the 2 pictures .*b.jpg"),
        (["A.jpg"], ["a.png"], "upper and lower case"),
        (["a.jpg", "a.png"], ["a.png"], "a.jpg and a.png have one name"),
        (["notes.txt"], ["a.png"], "no pictures in this folder"),
        (["a.jpg"], [], "no pictures in this folder"),
    ],
)
def test_folders_that_do_not_fit_are_told(tmp_path, image_names, label_names, message):
    images, labels = touch(tmp_path / "i", *image_names), touch(tmp_path / "l", *label_names)
    with pytest.raises(UserError, match=message):
        pairs.from_folders(images, labels)


def test_a_list_pairs_by_line(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jpg", "b.png")
    file = tmp_path / "list.txt"
    file.write_text("b.jpg b.png\n\n/a.jpg /a.png\n")
    found = pairs.from_list(file, tmp_path)
    assert [pair.image.name for pair in found] == ["b.jpg", "a.jpg"]
    assert found[1].label == tmp_path / "a.png"


def test_the_base_of_a_list_is_where_its_first_picture_lies(tmp_path):
    (tmp_path / "set" / "images").mkdir(parents=True)
    touch(tmp_path / "set" / "images", "a.jpg")
    file = tmp_path / "set" / "list.txt"
    folders = (tmp_path / "set", tmp_path)
    for prefix, base in (("images", 0), ("set/images", 1), ("/set/images", 1), ("none", 0)):
        file.write_text(f"\n{prefix}/a.jpg {prefix}/a.png\n")
        assert pairs.base_of(file, folders) == folders[base]
    with pytest.raises(UserError, match="no such list"):
        pairs.base_of(tmp_path / "none.txt", folders)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.jpg\n", "line 1: needs a picture and its label, found 1 words"),
        ("\n", "is empty"),
        ("a.jpg b.png\n", "1 of the files .*b.png.*count from"),
        (b"\xff\xfe\x00", "cannot be read as a list"),
    ],
)
def test_a_wrong_list_is_told(tmp_path, content, message):
    touch(tmp_path, "a.jpg")
    file = tmp_path / "list.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.compile(message)):
        pairs.from_list(file, tmp_path)


def test_a_list_that_differs_in_case_is_told_so(tmp_path):
    touch(tmp_path, "a.JPG", "a.png")
    file = tmp_path / "list.txt"
    file.write_text("a.jpg a.png\n")
    with pytest.raises(UserError, match="upper and lower case only"):
        pairs.from_list(file, tmp_path)


def test_a_label_is_found_under_another_suffix_only_if_asked_for(tmp_path):
    touch(tmp_path, "a.jpg", "a_mask.jpg", "b.jpg", "b_mask.png", "b_mask.jpg")
    file = tmp_path / "list.txt"
    file.write_text("a.jpg a_mask.png\nb.jpg b_mask.png\n")
    with pytest.raises(UserError, match=r"1 of the files .*a_mask\.png"):
        pairs.from_list(file, tmp_path)
    found = pairs.from_list(file, tmp_path, other_suffixes=(".jpg",))
    assert [pair.label.name for pair in found] == ["a_mask.jpg", "b_mask.png"]


def test_missing_folders_and_lists_are_named(tmp_path):
    with pytest.raises(UserError, match="no such list"):
        pairs.from_list(tmp_path / "none.txt", tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        pairs.from_folders(tmp_path / "none", tmp_path)


def test_a_list_may_name_files_wherever_they_are(tmp_path):
    place = touch(tmp_path / "elsewhere", "a.jpg", "a.png")
    file = tmp_path / "lists" / "train.lst"
    file.parent.mkdir()
    file.write_text(f"{place}/a.jpg {place}/a.png\n")
    base = pairs.base_of(file, (file.parent, tmp_path))
    assert pairs.from_list(file, base) == [(place / "a.jpg", place / "a.png")]
