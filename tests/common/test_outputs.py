import errno
from pathlib import Path

import pytest

from common import outputs
from common.errors import UserError


def test_each_input_has_its_own_target(tmp_path):
    inputs = [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png", tmp_path / "y.jpg"]
    found = outputs.targets(inputs, tmp_path / "out", ".png")
    assert [path.name for path in found.values()] == ["x.png", "x_2.png", "y.png"]
    assert (tmp_path / "out").is_dir()


def test_names_for_something_else_are_left_free(tmp_path):
    found = outputs.targets([tmp_path / "x.jpg"], tmp_path / "out", ".png", reserved=("x.png",))
    assert [path.name for path in found.values()] == ["x_2.png"]


def test_an_input_is_never_overwritten(tmp_path):
    with pytest.raises(UserError, match="would overwrite the input"):
        outputs.targets([tmp_path / "x.jpg"], tmp_path, ".jpg")


def test_no_other_file_that_is_read_is_overwritten(tmp_path):
    bitmap, photo = tmp_path / "x.bmp", tmp_path / "x.jpg"
    with pytest.raises(UserError, match=r"would overwrite the input .*x\.jpg; choose another"):
        outputs.targets([bitmap, photo], tmp_path, ".jpg")
    with pytest.raises(UserError, match=r"would overwrite the input .*x_ranked\.jpg"):
        outputs.targets([photo], tmp_path, "_ranked.jpg", [tmp_path / "x_ranked.jpg"])
    assert outputs.targets([bitmap], tmp_path, ".jpg") == {bitmap: photo}


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
