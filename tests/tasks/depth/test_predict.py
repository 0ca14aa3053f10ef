"""What predict writes: units that are told, points in space, colours that do not flicker."""

import json

import cv2
import numpy as np
import pytest

from common.errors import UserError
from common.reading import video
from tasks.depth import cloud, predict
from tests.tasks.commands import call
from tests.tasks.depth import small


@pytest.fixture
def run(tmp_path):
    small.write_run(tmp_path / "run")
    return tmp_path / "run"


def predicted(run, out, *words):
    small.save_picture(out.parent / "a.png", 3)
    words = (out.parent / "a.png", "--run", run, "--out", out, *words, "--loader.workers", "0")
    call(predict.main, *words)
    return json.loads((out / "depth.json").read_text())


def stored(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_millimetres_are_rounded(run, tmp_path, capsys):
    out = tmp_path / "out"
    found = predicted(run, out, "--outputs", "[depth,numbers]")
    assert found["png_units_of_a_metre"] == 1000
    assert "camera like that of the training" in found["metres"]
    assert "camera like the one of the training" in capsys.readouterr().out
    levels, metres = stored(out / "a_depth.png"), np.load(out / "a_depth.npy")
    assert levels.dtype == np.uint16
    assert (np.abs(levels / 1000 - metres) <= 0.000501).all()
    assert not (out / "a_depth.jpg").exists()
    assert found["files"][0]["numbers"] == "a_depth.npy"


@pytest.mark.parametrize(
    ("metres", "level"), [(1.2344, 1234), (1.2346, 1235), (0.0, 1), (99, 65535)]
)
def test_levels(metres, level):
    assert predict.levels(np.array([[metres]], np.float32), 1000, True) == [[level]]


def test_far_depth_takes_finer_units(run, tmp_path):
    found = predicted(run, tmp_path / "out", "--data.max_depth", "80")
    assert found["png_units_of_a_metre"] == 256


def test_without_metres(tmp_path):
    ssi = ("--loss.name", "ssi", "--test.align", "least_squares")
    small.write_run(tmp_path / "run")
    found = predicted(tmp_path / "run", tmp_path / "out", *ssi)
    assert "without metres" in found["metres"]
    assert found["files"][0]["unit"].startswith("inverse depth")
    levels = stored(tmp_path / "out" / "a_depth.png")
    assert (levels.min(), levels.max()) == (1, 65535)
    with pytest.raises(UserError, match="knows no metres"):
        predicted(tmp_path / "run", tmp_path / "p", *ssi, "--outputs", "[points]", "--focal", "5")


def test_points_need_a_focal_length_and_lie_where_the_pixels_look(run, tmp_path):
    with pytest.raises(UserError, match="say its --focal in pixels"):
        predicted(run, tmp_path / "none", "--outputs", "[points]")
    out = tmp_path / "out"
    predicted(run, out, "--outputs", "[points,numbers]", "--focal", "80")
    content = (out / "a_points.ply").read_bytes()
    head, _, body = content.partition(b"end_header\n")
    assert b"element vertex 3072" in head and b"binary_little_endian" in head
    table = np.frombuffer(body, dtype=[("place", "<f4", 3), ("colour", "u1", 3)])
    metres = np.load(out / "a_depth.npy")
    x, y, z = table["place"].reshape(48, 64, 3).transpose(2, 0, 1)
    np.testing.assert_array_equal(z, metres)
    columns, rows = 80 * x / z + 32 - 0.5, 80 * y / z + 24 - 0.5
    np.testing.assert_allclose(columns, np.mgrid[:48, :64][1], atol=1e-3)
    np.testing.assert_allclose(rows, np.mgrid[:48, :64][0], atol=1e-3)
    np.testing.assert_array_equal(table["colour"].reshape(48, 64, 3), small.picture(3))


def test_points_of_a_wall_are_a_wall():
    places = cloud.points(np.full((4, 6), 2.0, np.float32), 3.0)
    assert (places[..., 2] == 2).all()
    np.testing.assert_allclose(places[..., 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(places[0, :, 0]), 2 / 3, rtol=1e-6)


def test_a_video_keeps_the_ends_of_its_colours(run, tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48)
    )
    for number in range(4):
        writer.write(small.picture(number))
    writer.release()
    call(
        predict.main, tmp_path / "clip.mp4", "--run", run, "--out", tmp_path / "out",
        "--loader.workers", "0",
    )  # fmt: skip
    frames = list(video.frames(tmp_path / "out" / "clip_depth.mp4"))
    assert len(frames) == 4 and frames[0].shape == (48 + 24, 64, 3)
    # The scale below is the same in all: its numbers do not change.
    scales = [frame[50:].astype(int) for frame in frames]
    assert all(np.abs(one - scales[0]).mean() < 6 for one in scales)
    listed = json.loads((tmp_path / "out" / "depth.json").read_text())["files"]
    assert listed == [{"file_name": "clip.mp4", "colours": "clip_depth.mp4", "frames": 4}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--outputs", "[]"), "--outputs is empty; choose from depth, colours, numbers, points"),
        (("--focal", "-3"), "--focal is -3"),
        (("--span", "[5, 2]"), "--span is"),
    ],
)
def test_wrong_flags_are_one_line(run, tmp_path, words, said):
    with pytest.raises(UserError, match=said.replace("[", r"\[")):
        predicted(run, tmp_path / "out", *words)
