"""YOLO's form: shares of the picture become pixels, and what is not a share is named."""

import pytest
import yaml
from PIL import Image

from common.errors import DamagedFile, UserError
from common.reading import yolo
from common.reading.records import NOT_NAMED, SplitFiles, require_sound

SIZE = (200, 100)
MIRRORED = (0, 2, 1)
POSE = {"kpt_shape": [3, 3], "flip_idx": [0, 2, 1]}


def write(root, labels, **settings):
    """A set of a split "train"; a text of None is a picture without a label file."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        Image.new("RGB", SIZE).save(root / "images/train" / f"{stem}.jpg")
        if text is not None:
            (root / "labels/train" / f"{stem}.txt").write_text(text)
    content = {"train": "images/train", "names": ["cat", "dog"], **settings}
    content = {key: value for key, value in content.items() if value is not None}
    (root / "data.yaml").write_text(yaml.safe_dump(content))
    return root


def read(root, split="train", files=NOT_NAMED, on_error="stop", mirrored=()):
    return yolo.read(root, split, files, on_error, mirrored)


def test_boxes_and_polygons_in_pixels(tmp_path):
    root = write(
        tmp_path,
        {"a": "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.3 0.2 0.3 0.6\n", "b": "", "c.v1": None},
    )
    found = read(root)
    assert found.file == root / "data.yaml"
    assert [tuple(category) for category in found.categories] == [(1, "cat"), (2, "dog")]
    assert [one.file.name for one in found.pictures.values()] == ["a.jpg", "b.jpg", "c.v1.jpg"]
    assert found.pictures[1][1:] == (100, 200)
    box, polygon = found.annotations
    assert box == {
        "id": 1, "image_id": 1, "category_id": 2, "bbox": pytest.approx([80, 30, 40, 40]),
    }  # fmt: skip
    assert polygon["bbox"] == pytest.approx([20, 20, 40, 40])
    assert polygon["segmentation"] == [pytest.approx([20, 20, 60, 20, 60, 60])]
    assert "2 label files, 1 pictures without one" in found.layout
    (root / "labels/train/b.txt").write_text("0 0.5 0.5 1 1\n")
    assert read(root).fingerprint != found.fingerprint


def test_joints(tmp_path):
    line = "0 0.5 0.5 0.2 0.4 0.1 0.2 2 0 0 0 0.5 0.9 1\n"
    root = write(tmp_path, {"a": line + "0 0.5 0.5 0.2 0.4\n"}, **POSE)
    with_joints, without = read(root, mirrored=MIRRORED).annotations
    assert with_joints["keypoints"] == pytest.approx([20, 20, 2, 0, 0, 0, 100, 90, 1])
    assert "keypoints" not in without
    write(tmp_path, {"a": "0 0.5 0.5 0.2 0.4 0.1 0.2 0 0 0.5 0.9\n"}, kpt_shape=[3, 2])
    assert read(root).annotations[0]["keypoints"] == pytest.approx([20, 20, 2, 0, 0, 0, 100, 90, 2])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "kpt_shape None"),
        ({"kpt_shape": [3]}, r"kpt_shape \[3\]"),
        ({"kpt_shape": [17, 3]}, "has 17 joints .*needed are 3"),
        ({"kpt_shape": [3, 3], "flip_idx": [1, 0, 2]}, "in another order"),
    ],
)
def test_other_joints(tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        read(write(tmp_path, {"a": ""}, **settings), mirrored=MIRRORED)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 0.5 0.5 0.2 0.4", "is of class 2; data.yaml names 0 to 1"),
        ("-1 0.5 0.5 0.2 0.4", "is of class -1"),
        ("0.5 0.5 0.5 0.2 0.4", "is of class 0.5"),
        ("nan 0.5 0.5 0.2 0.4", "is of class nan"),
        ("0 1.5 0.5 0.2 0.4", "holds 1.5; it takes shares"),
        ("0 0.5 -0.1 0.2 0.4", "holds -0.1"),
        ("0 0.5 nan 0.2 0.4", "holds nan"),
        ("0 80 30 40 40", "holds 80"),
        ("0 0.5 0.5 0.2", "has 3 numbers after its class"),
        ("0 0.5 0.5 0.2 0.4 0.9", "has 5 numbers after its class"),
        ("0 0.1 0.2 0.3 0.2 0.3 6", "holds 6"),
        ("cat 0.5 0.5 0.2 0.4", "holds 'cat 0.5 0.5 0.2 0.4'; it takes numbers"),
        ("0 .5 .5 .2 .4 .1 .2 3 0 0 0 .5 .9 1", "a joint with the visibility 3"),
        ("0 .5 .5 .2 .4 .1 2 2 0 0 0 .5 .9 1", "holds 2"),
    ],
)
def test_lines_that_are_wrong(tmp_path, line, words):
    root = write(tmp_path, {"a": f"0 0.5 0.5 0.2 0.4\n{line}\n"}, **POSE)
    found = read(root)
    assert [one["id"] for one in found.annotations] == [1]
    with pytest.raises(DamagedFile, match=r"annotation 2 \(line 2 of .*a\.txt\)") as caught:
        require_sound(found.faults, found.file, "stop")
    assert words in str(caught.value)


def test_where_the_pictures_of_a_split_lie(tmp_path):
    root = write(tmp_path / "set", {"a": "0 0.5 0.5 0.2 0.4", "b": None})
    (root / "list.txt").write_text("./images/train/b.jpg\nimages\\train\\a.jpg\n\n")
    for given in (
        *("images/train", ["images/train"], "../images/train", "../set/images/train"),
        *("images", str(root / "images/train"), "list.txt", ["list.txt", "images"]),
    ):
        for base in (None, ".", str(root), "/nowhere"):
            found = read(write(root, {}, train=given, path=base))
            assert {one.file.name for one in found.pictures.values()} == {"a.jpg", "b.jpg"}
            assert len(found.annotations) == 1
    assert read(root, "any", SplitFiles(None, root / "images")).annotations
    (root / "data.yaml").rename(root / "mine.yaml")
    assert read(root).file.name == "mine.yaml"
    (root / "mine.yaml").rename(tmp_path / "mine.yaml")
    with pytest.raises(UserError, match=r"has no data.yaml; name the file with --data.train_annot"):
        read(root)
    assert read(root, files=SplitFiles(tmp_path / "mine.yaml")).annotations
    (root / "classes.txt").write_text("cat\ndog\n")
    assert read(root).annotations


def test_labels_beside_their_pictures(tmp_path):
    assert yolo.label_file(tmp_path / "photos" / "a.b.jpg") == tmp_path / "photos" / "a.b.txt"
    place = tmp_path / "images" / "x" / "images" / "train" / "a.jpg"
    assert yolo.label_file(place) == tmp_path / "images" / "x" / "labels" / "train" / "a.txt"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"names": {0: "cat", 1: "dog"}}, None),
        ({"names": {"1": "dog", "0": "cat"}}, None),
        ({"names": {1: "cat", 2: "dog"}}, r"names are numbered \[1, 2\]"),
        ({"names": None}, "has no names"),
        ({"names": ["cat", "cat"]}, "two classes have one name"),
        ({"nc": 3}, "says nc: 3 and names 2 classes"),
        ({"train": None}, "has no train, its splits are none"),
        ({"train": "nowhere"}, "names nowhere, which is neither at"),
    ],
)
def test_settings(tmp_path, settings, words):
    root = write(tmp_path, {"a": "1 0.5 0.5 0.2 0.4"}, **settings)
    if words is None:
        assert [one.name for one in read(root).categories] == ["cat", "dog"]
        return
    with pytest.raises(UserError, match=words) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_files_that_are_broken(tmp_path):
    root = write(tmp_path, {"a": "0 0.5 0.5 0.2 0.4", "b": None})
    (root / "images/train/b.jpg").write_bytes(b"none")
    with pytest.raises(DamagedFile, match=r"b.jpg: is not a picture"):
        read(root)
    found = read(root, on_error="skip")
    assert list(found.pictures) == [1]
    assert list(found.dropped.values()) == [1]
    (root / "data.yaml").write_text("names: [a\n")
    with pytest.raises(DamagedFile, match=r"data.yaml: is not valid YAML"):
        read(root)
