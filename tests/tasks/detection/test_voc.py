"""VOC's form: pixels that count from 1, difficult objects, classes of one's own."""

import pytest
from PIL import Image

from common.errors import DamagedFile
from common.reading import voc
from tasks.detection.data import ScoringSet
from tasks.detection.voc import read_voc
from tests.tasks.detection import small


@pytest.fixture
def root(tmp_path):
    return small.write_voc(tmp_path / "VOC2007")


def test_boxes_hold_their_last_pixels_and_count_from_the_corner(root):
    found = read_voc(root, "trainval")
    assert found.boxes.tolist() == [
        [0, 0, small.WIDTH, small.HEIGHT],
        [47, 10, 148, 111],
        [4, 5, 20.5, 30],
    ]
    assert found.annotated_boxes[1].tolist() == [47, 10, 101, 101]
    assert found.areas.tolist() == [small.WIDTH * small.HEIGHT, 101 * 101, 16.5 * 25]


def test_labels_are_vocs(root):
    found = read_voc(root, "trainval")
    assert found.classes == voc.CLASSES
    assert [found.classes[label - 1] for label in found.labels] == ["dog", "person", "aeroplane"]


def test_difficult_objects_are_treated_like_crowds(root):
    found = read_voc(root, "trainval")
    assert found.crowd.tolist() == [False, True, False]
    assert [entry["iscrowd"] for entry in found.ground_truth()["annotations"]] == [0, 1, 0]


def test_pictures_ids_and_summary(root):
    found = read_voc(root, "trainval")
    assert found.image_ids.tolist() == [1, 2, 3]
    assert found.ids.tolist() == [1, 2, 3]
    assert [path.name for path in found.images] == [f"2007_00000{n}.jpg" for n in (1, 2, 3)]
    assert [len(found.objects(row)) for row in range(3)] == [2, 1, 0]
    assert found.objects(0).outlines == [None, None]
    assert found.summary() == (
        "trainval.txt: 2 objects of 20 classes in 3 pictures; crowds: 1; pictures without "
        "objects: 1"
    )


def test_the_fingerprint_is_that_of_the_annotations(root):
    before = read_voc(root, "trainval").fingerprint
    assert read_voc(root, "trainval").fingerprint == before
    file = root / "Annotations" / "2007_000003.xml"
    file.write_text(small.xml("2007_000003", [("cat", 3, 3, 9, 9, 0)]))
    assert read_voc(root, "trainval").fingerprint != before


def test_classes_and_pictures_of_ones_own(root):
    (root / voc.CLASS_FILE).write_text("background\nnut\nhex bolt\n")
    objects = [("hex bolt", 3, 3, 9, 9, 0), (" nut ", 5, 5, 40, 40, 0)]
    (root / "Annotations" / "a.xml").write_text(small.xml("a", objects, suffix=".png"))
    small.picture(0).save(root / "JPEGImages" / "a.png")
    (root / "ImageSets" / "Main" / "mine.txt").write_text("a\n")
    found = read_voc(root, "mine")
    assert found.classes == ("nut", "hex bolt")
    assert found.labels.tolist() == [2, 1]
    assert found.images[0].name == "a.png"


def test_the_loader_takes_it(root):
    annotations = read_voc(root, "trainval")
    sample = ScoringSet(annotations, small.PLAIN)[1]
    with Image.open(annotations.images[1]) as stored:
        assert sample["image"].shape == (3, stored.height, stored.width)


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width/></size>"]
)
def test_a_size_that_the_file_does_not_say_is_the_pictures_own(root, size):
    file = root / "Annotations" / "2007_000002.xml"
    whole = file.read_text()
    head, rest = whole.split("<size>")[0], whole.split("</size>")[1]
    file.write_text(head + size + rest)
    found = read_voc(root, "trainval")
    assert found.sizes.tolist() == [[small.HEIGHT, small.WIDTH]] * 3
    (root / "JPEGImages" / "2007_000002.jpg").write_bytes(b"none")
    with pytest.raises(DamagedFile, match="is not a picture"):
        read_voc(root, "trainval")
    assert len(read_voc(root, "trainval", "skip")) == 2


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("GBK", "gbk"), ("gb2312", "gb18030"), ("Shift_JIS", "cp932"), ("big5", "big5"),
        ("UTF-16", "utf-16"), (None, "utf-16"), (None, "utf-8-sig"), (None, "utf-8"),
    ],
)  # fmt: skip
def test_annotations_in_the_encoding_that_they_declare_or_mark(root, declared, codec):
    (root / "classes.txt").write_text("犬\nperson\naeroplane\n", encoding="utf-8")
    for file in (root / "Annotations").iterdir():
        said = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
        file.write_bytes((said + file.read_text().replace("dog", "犬")).encode(codec))
    found = read_voc(root, "trainval")
    assert [found.classes[label - 1] for label in found.labels] == ["犬", "person", "aeroplane"]


@pytest.mark.parametrize("name", ["ansi", "unicode", "hex", "ascii"])
def test_an_encoding_that_is_none_or_not_the_files(root, name):
    file = root / "Annotations" / "2007_000002.xml"
    file.write_bytes(f'<?xml version="1.0" encoding="{name}"?><annotation>é'.encode())
    with pytest.raises(DamagedFile, match=f"^{file}: declares the encoding '{name}'"):
        read_voc(root, "trainval")
    assert len(read_voc(root, "trainval", "skip")) == 2
