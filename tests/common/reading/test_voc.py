"""The layout that all data sets in VOC's form share."""

import pytest

from common.errors import UserError
from common.reading import voc


@pytest.fixture
def root(tmp_path):
    (tmp_path / "VOC2012" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "VOC2012" / "ImageSets" / "Main" / "val.txt").write_text("a  1\n\nb -1\n")
    return tmp_path / "VOC2012"


def refused(words, root, split="val"):
    with pytest.raises(UserError) as caught:
        voc.list_file(root, "Main", split, "say something else", "; or so")
    line = str(caught.value)
    assert "\n" not in line
    assert words in line


def test_the_names_of_a_split(root):
    assert voc.names(voc.list_file(root, "Main", "val", "")) == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("IMG (1)\nIMG (2)\n", ["IMG (1)", "IMG (2)"]),
        ("IMG (1)  1\nIMG (2) -1\n", ["IMG (1)", "IMG (2)"]),
        ("a\t0\r\nb\t1\r\n", ["a", "b"]),
        ("photo 1\nphoto 2\n", ["photo 1", "photo 2"]),
        ("photo 0\nphoto 1\n", ["photo 0", "photo 1"]),
    ],
)
def test_names_with_spaces(root, lines, expected):
    file = root / "ImageSets" / "Main" / "val.txt"
    file.write_text(lines)
    assert voc.names(file) == expected


def test_other_layouts(root, tmp_path):
    refused("no such folder", tmp_path / "none")
    refused(f"say --data.root {root}", tmp_path)
    refused(f"say --data.root {root}", _below(root))
    refused("test.txt: no such split; there are val; or so", root, "test")
    (tmp_path / "empty").mkdir()
    refused("say something else", tmp_path / "empty")
    (tmp_path / "empty" / "VOCtest_06-Nov-2007.tar").touch()
    refused("VOCtest_06-Nov-2007.tar is not unpacked", tmp_path / "empty")


def _below(root):
    (root / "JPEGImages").mkdir()
    return root / "JPEGImages"


def test_lists_that_cannot_be_read(root):
    file = root / "ImageSets" / "Main" / "val.txt"
    for content, words in ((b"\n", "is empty"), (b"\xff\xfe\x00", "cannot be read as a list")):
        file.write_bytes(content)
        with pytest.raises(UserError, match=words):
            voc.names(file)
    with pytest.raises(UserError, match="no such list of pictures"):
        voc.names(root / "none.txt")


def test_classes(root):
    assert len(set(voc.CLASSES)) == 20
    assert voc.own_classes(root) is None
    (root / voc.CLASS_FILE).write_text("nut\n\nhex bolt\n")
    assert voc.own_classes(root) == ("nut", "hex bolt")
    for content, words in ((b" \n", "empty; it takes one class per line"), (b"caf\xe9\n", "utf-8")):
        (root / voc.CLASS_FILE).write_bytes(content)
        with pytest.raises(UserError, match=words) as caught:
            voc.own_classes(root)
        assert str(caught.value).startswith(str(root / voc.CLASS_FILE))
