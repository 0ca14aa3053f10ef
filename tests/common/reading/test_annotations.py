"""Annotation files: what is read, and in which words they are refused."""

import hashlib
import time

import pytest

from common.errors import DamagedFile, UserError
from common.reading.annotations import left_out, read_json, require_once, require_pictures


def test_json_with_its_fingerprint(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"images": [1, 2]}')
    assert read_json(file) == (
        {"images": [1, 2]},
        hashlib.sha256(b'{"images": [1, 2]}').hexdigest(),
    )


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "is empty (0 bytes)"),
        (b'{"images": [1, 2', "is cut short"),
        (b'{"name": "unfin', "is cut short"),
        (b'{"images": [1, 2], oops: 3, "more": [1, 2, 3, 4, 5]}', "is not valid JSON"),
        (b"PK\x03\x04\xff\xfe", "is not JSON but binary data"),
    ],
)
def test_damaged_json(tmp_path, data, word):
    file = tmp_path / "a.json"
    file.write_bytes(data)
    with pytest.raises(DamagedFile) as caught:
        read_json(file)
    assert str(caught.value).startswith(f"{file}: {word}")


def test_json_that_is_missing(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_json(tmp_path / "none.json")


def test_what_occurs_twice(tmp_path):
    require_once([1, 2, 3], tmp_path, "picture id")
    with pytest.raises(DamagedFile, match=r"picture id 2 is listed twice \(and 1 more\)"):
        require_once([1, 2, 2, 3, 3], tmp_path, "picture id")


def test_missing_pictures(tmp_path):
    (tmp_path / "1.jpg").touch()
    require_pictures([tmp_path / "1.jpg"], tmp_path / "a.json")
    wanted = [tmp_path / f"{number}.jpg" for number in (3, 1, 2)]
    with pytest.raises(UserError) as caught:
        require_pictures(wanted, tmp_path / "a.json")
    assert f"names 3 pictures, 2 of them are missing, first {wanted[2]}" in str(caught.value)


def test_what_a_summary_says():
    assert left_out({"of no area": 0}) == ""
    assert left_out({"of no area": 1200, "x": 0, "y": 1}) == " (left out: 1,200 of no area, 1 y)"


def test_checking_all_pictures_of_coco_is_quick(tmp_path, monkeypatch):
    names = [f"{number:012d}.jpg" for number in range(118_287)]
    listings = []

    def listdir(folder):
        listings.append(folder)
        return names

    monkeypatch.setattr("os.listdir", listdir)
    monkeypatch.setattr("os.stat", None)
    monkeypatch.setattr("os.path.isdir", lambda folder: True)
    pictures = [tmp_path / name for name in names]
    start = time.process_time()
    require_pictures(pictures, tmp_path / "annotations.json")
    assert time.process_time() - start < 4  # 0.5 s on an idle core.
    assert listings == [str(tmp_path)]
