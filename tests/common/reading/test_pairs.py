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


@pytest.mark.parametrize(
    ("image_names", "label_names"),
    [
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"]),
        (["a_1.jpg", "b_1.jpg"], ["a_1-mask.png", "b_1-mask.png"]),
        (["a_rgb.png", "b_rgb.png"], ["a_gt.png", "b_gt.png"]),
        (["img_1.jpg", "img_10.jpg"], ["mask_1.png", "mask_10.png"]),
        (["10.jpg", "20.jpg"], ["10_mask.png", "20_mask.png"]),
        (["x_leftImg8bit.png"], ["x_gtFine_labelIds.png"]),
        (["IMG (1).jpg"], ["IMG (1)_mask.png", "IMG (2)_mask.png"]),
        (["a.jpg"], ["a_mask.png"]),
    ],
)
def test_names_that_differ_by_a_word(tmp_path, image_names, label_names):
    images, labels = touch(tmp_path / "i", *image_names), touch(tmp_path / "l", *label_names)
    found = pairs.from_folders(images, labels)
    assert found == [
        (images / image, labels / label)
        for image, label in zip(image_names, label_names, strict=False)
    ]
    said = f"; {label_names[0]} is the label of {image_names[0]}"
    assert pairs.naming(found) == said
    assert pairs.naming([pairs.Pair(images / "a.jpg", labels / "a.png")]) == ""


@pytest.mark.parametrize(
    ("image_names", "label_names"),
    [
        (["10.jpg", "20.jpg"], ["1_mask.png", "2_mask.png"]),
        (["2007_1.jpg", "2007_2.jpg"], ["2008_1.png", "2008_2.png"]),
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_gt.png"]),
        (["a_1.jpg", "b_1.jpg"], ["a.png", "b.png"]),
    ],
)
def test_names_that_differ_by_more_than_a_word(tmp_path, image_names, label_names):
    images, labels = touch(tmp_path / "i", *image_names), touch(tmp_path / "l", *label_names)
    with pytest.raises(UserError, match=r"no label for [12] of the 2 pictures"):
        pairs.from_folders(images, labels)


def test_only_the_picture_without_a_label_is_named(tmp_path):
    """Though the others are paired by the word that their labels have more."""
    images = touch(tmp_path / "i", "a.jpg", "b.jpg", "new.jpg")
    labels = touch(tmp_path / "l", "a_mask.png", "b_mask.png")
    with pytest.raises(UserError, match=r"no label for 1 of the 3 pictures .*\(new\.jpg\)"):
        pairs.from_folders(images, labels)


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "a.png", "b.jpg", "b.png"],
        ["a.png", "a_mask.png", "b.png", "b_mask.png"],
        ["a.jpg", "a-gt.png", "b.jpg", "b-gt.png"],
    ],
)
def test_one_folder_with_both(tmp_path, names):
    folder = touch(tmp_path / "both", *names)
    found = pairs.from_folders(folder, folder)
    expected = [(names[0], names[1]), (names[2], names[3])]
    assert [(pair.image.name, pair.label.name) for pair in found] == expected
    (folder / names[1]).unlink()
    with pytest.raises(UserError, match="no mask"):
        pairs.from_folders(folder, folder)


def test_a_list_of_names_alone(tmp_path):
    images = touch(tmp_path / "i", "IMG (1).jpg", "b.jpg", "c.jpg")
    labels = touch(tmp_path / "l", "IMG (1).png", "b.png")
    file = tmp_path / "list.txt"
    for text in ("IMG (1).jpg\r\nb.jpg\r\n", "IMG (1)\n\nb\n", '"IMG (1).jpg"\n"b.jpg"\n'):
        file.write_text(text)
        names = pairs.listed_names(file, images)
        found = pairs.from_folders(images, labels, names)
        assert [pair.image.name for pair in found] == ["IMG (1).jpg", "b.jpg"]
    file.write_text("i/b.jpg l/b.png\n")
    assert pairs.listed_names(file, images) is None
    with pytest.raises(UserError, match=r"has no picture of 1 of the 2 names .*\(d\)"):
        pairs.from_folders(images, labels, ["b", "d"])


@pytest.mark.parametrize(
    "line",
    [
        "IMG (1).jpg\tIMG (1).png",
        '"IMG (1).jpg" "IMG (1).png"',
        "IMG (1).jpg IMG (1).png",
        "  IMG (1).jpg   IMG (1).png ",
    ],
)
def test_a_list_of_names_with_spaces(tmp_path, line):
    touch(tmp_path, "IMG (1).jpg", "IMG (1).png")
    file = tmp_path / "list.txt"
    file.write_text(f"{line}\n")
    base = pairs.base_of(file, (tmp_path / "none", tmp_path))
    assert pairs.from_list(file, base) == [(tmp_path / "IMG (1).jpg", tmp_path / "IMG (1).png")]
    file.write_text("IMG (1).jpg IMG (2).png\n")
    with pytest.raises(UserError, match=r"line 1: .*part them by tabs, or put them within"):
        pairs.from_list(file, tmp_path)


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
