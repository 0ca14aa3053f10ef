import errno
from pathlib import Path

import pytest

from common import outputs
from common.errors import UserError


def test_each_input_has_its_own_target(tmp_path):
    inputs = [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png", tmp_path / "y.jpg"]
    found = outputs.places(dict.fromkeys(inputs, Path()), tmp_path / "out", (".png", "_b.jpg"))
    assert list(map(str, found.values())) == ["x", "x_2", "y"]
    found = outputs.places({inputs[0]: Path("sub"), inputs[1]: Path()}, tmp_path, (".png",))
    assert list(map(str, found.values())) == ["sub/x", "x"]


def test_a_compressed_file_and_a_folder_give_their_whole_names(tmp_path):
    folder = tmp_path / "1.2.840"
    folder.mkdir()
    inputs = dict.fromkeys([tmp_path / "a.nii.gz", tmp_path / "a.nii", folder], Path())
    found = outputs.places(inputs, tmp_path / "out", (".png",))
    assert list(map(str, found.values())) == ["a", "a_2", "1.2.840"]


def test_names_for_something_else_are_left_free(tmp_path):
    inputs = {tmp_path / "x.jpg": Path()}
    found = outputs.places(inputs, tmp_path / "out", (".png",), reserved=("x.png",))
    assert list(map(str, found.values())) == ["x_2"]


def test_an_input_is_never_overwritten(tmp_path):
    with pytest.raises(UserError, match="would overwrite the input"):
        outputs.places({tmp_path / "x.jpg": Path()}, tmp_path, (".jpg",))


def test_no_other_file_that_is_read_is_overwritten(tmp_path):
    bitmap, photo = tmp_path / "x.bmp", tmp_path / "x.jpg"
    with pytest.raises(UserError, match=r"would overwrite the input .*x\.jpg; choose another"):
        outputs.places({bitmap: Path(), photo: Path()}, tmp_path, (".jpg",))
    with pytest.raises(UserError, match=r"would overwrite the input .*x_ranked\.jpg"):
        outputs.places({photo: Path()}, tmp_path, ("_ranked.jpg",), [tmp_path / "x_ranked.jpg"])
    assert outputs.places({bitmap: Path()}, tmp_path, (".jpg",)) == {bitmap: Path("x")}


def test_a_folder_or_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*cannot be made"):
        outputs.make_folder(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written"):
        outputs.write_text(tmp_path / "none" / "a.txt", "text")


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    outputs.write_text(path, "old")

    def full(file, text, **_):
        file.write_bytes(text[:2].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"metrics\.json: cannot be written \(No space left"):
        outputs.write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]
    assert path.read_text() == "old"


def test_inputs_of_one_name_are_told_apart():
    inputs = [Path("a/x.jpg"), Path("b/x.jpg"), Path("b/y.jpg")]
    assert list(outputs.names(inputs).values()) == ["a/x.jpg", "b/x.jpg", "y.jpg"]
