"""What a folder holds is read, or counted in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common.commands import inputs
from common.errors import UserError
from common.reading import folders, image, pairs, video
from tasks.classification import folders as class_folders
from tasks.speaker import audio, speakers

SCENE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
# Pillow writes these, and OpenCV the others.
BY_PILLOW = {".jfif": "JPEG", ".jp2": "JPEG2000", ".j2k": "JPEG2000", ".gif": "GIF"}
ONE_BAND = {".pbm", ".pgm"}
REAL = {".hdr", ".pfm", ".pic"}


def write_picture(path: Path) -> None:
    suffix = path.suffix
    if suffix in BY_PILLOW:
        Image.fromarray(SCENE).save(path, format=BY_PILLOW[suffix])
    elif suffix in ONE_BAND:
        assert cv2.imwrite(str(path), SCENE[..., 0])
    elif suffix in REAL:
        assert cv2.imwrite(str(path), SCENE.astype(np.float32) / 255)
    else:
        assert cv2.imwrite(str(path), SCENE)


@pytest.mark.parametrize("suffix", sorted(image.SUFFIXES))
def test_every_suffix_that_is_listed_can_be_read(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}")
    (path,) = image.pictures_in(tmp_path)
    assert image.read(path).shape == SCENE.shape
    assert image.size(path) == SCENE.shape[:2]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


REST = ("b.heic", "c.HEIC", "d.psd", "film.mp4", "unnamed")
PLAIN = (".hidden.heic", "._a.jpg", "notes.txt", "a.json", "a.xml", "README.md", "LICENSE",
         "Thumbs.db", "readme.MD")  # fmt: skip
TOLD = (
    "left out: 5 files (.heic 2, .mp4 1, .psd 1, no suffix 1): not a picture format that is read "
    "here"
)


def in_folder(folder):
    return image.pictures_in(touch(folder, "a.jpg", *REST, *PLAIN))


def below_folder(folder):
    return image.pictures_below(touch(folder, "x/a.jpg", *REST, *(f"x/{name}" for name in PLAIN)))


def in_classes(folder):
    touch(folder / "train", "cat/a.jpg", "dog/a.jpg", *(f"cat/{name}" for name in REST))
    touch(folder / "train", *(f"dog/{name}" for name in PLAIN))
    return class_folders.read(folder, "train", None).labels[1:]


def in_pairs(folder):
    touch(folder / "images", "a.ppm", *REST, *PLAIN)
    touch(folder / "masks", "a.png")
    return pairs.from_folders(folder / "images", folder / "masks")


@pytest.mark.parametrize("listing", [in_folder, below_folder, in_classes, in_pairs])
def test_what_is_left_out_is_counted_in_one_line(tmp_path, capsys, listing):
    assert len(listing(tmp_path)) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(str(tmp_path))
    assert told[0].endswith(TOLD)


def test_the_line_comes_once_and_on_one_rank(tmp_path, capsys, monkeypatch):
    touch(tmp_path, "a.jpg", "b.psd")
    monkeypatch.setenv("RANK", "1")
    image.pictures_in(tmp_path)
    assert capsys.readouterr().err == ""
    folders._say.cache_clear()
    monkeypatch.setenv("RANK", "0")
    image.pictures_in(tmp_path)
    image.pictures_in(tmp_path)
    assert capsys.readouterr().err.count("left out: 1 file (.psd 1)") == 1


def test_recordings_and_what_is_none(tmp_path, capsys):
    touch(tmp_path, *(f"{who}/{n}.wav" for who in ("ann", "bob") for n in (1, 2)), "bob/3.wma",
          "bob/3.TextGrid", "bob/cover.jpg", "ann/notes.txt")  # fmt: skip
    line = "left out: 2 files (.jpg 1, .wma 1): not a recording format that is read here"
    assert len(audio.list_recordings([tmp_path])) == 4
    assert line in capsys.readouterr().err
    folders._say.cache_clear()
    assert len(speakers._walk(tmp_path)) == 4
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folders_videos_are_inputs_too(tmp_path, capsys, recursive):
    touch(tmp_path, "a.ppm", "b.MOV", "c.heic", *(f"d{suffix}" for suffix in video.SUFFIXES))
    found = inputs.listed([tmp_path], recursive)
    assert [path.name for path in found][:2] == ["a.ppm", "b.MOV"]
    assert len(found) == 2 + len(video.SUFFIXES)
    assert "(.heic 1): not a picture or video format" in capsys.readouterr().err
    assert len(inputs.listed([tmp_path], recursive, image.PICTURES)) == 1


def test_a_folder_of_videos_alone(tmp_path):
    assert len(inputs.listed([touch(tmp_path, "a.mp4")], recursive=False)) == 1
    with pytest.raises(UserError, match=r"no picture or video in this folder \(.*\.mp4"):
        inputs.listed([touch(tmp_path / "empty", "a.txt")], recursive=False)


def test_one_folder_of_pictures_and_masks_leaves_no_picture_out(tmp_path):
    touch(tmp_path, "a.jpg", "a.png", "b.jfif", "b.png")
    assert [pair.image.name for pair in pairs.from_folders(tmp_path, tmp_path)] == [
        "a.jpg",
        "b.jfif",
    ]
    touch(tmp_path, "c.bmp")
    with pytest.raises(UserError, match=r"no mask .* 1 of the 3 pictures, such as c\.bmp"):
        pairs.from_folders(tmp_path, tmp_path)
