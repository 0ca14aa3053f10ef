"""Objects on people's own pictures and videos: what is written, and what is refused."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from common.errors import UserError
from common.reading import image, video
from tasks.detection import predict
from tasks.detection.draw import OPACITY, Drawn, colour_of, draw_objects
from tasks.pose.boxes import read_picture_boxes
from tests.tasks.detection import runs, small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    runs.write_run(folder, sure=True)
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        small.picture(seed).save(folder / name)
    return folder


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), "--engine.device", "cpu"])
    predict.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    run_command(monkeypatch, "--run", run, pictures, "--out", out)
    assert "2 pictures and 0 videos" in capsys.readouterr().out
    entries = json.loads((out / "detections.json").read_text())
    assert {one["file_name"] for one in entries} == {"a.png", "b.jpg"}
    for one in entries:
        assert one["class"] == "person"
        assert one["category_id"] == 1
        assert one["score"] >= 0.5
        left, top, width, height = one["bbox"]
        assert left >= 0
        assert top >= 0
        assert left + width <= small.WIDTH + 1e-3
        assert top + height <= small.HEIGHT + 1e-3
        assert one["segmentation"]["size"] == [small.HEIGHT, small.WIDTH]
    for name in ("a", "b"):
        drawn = image.read(out / f"{name}.jpg")
        assert drawn.shape == (small.HEIGHT, small.WIDTH, 3)
    source = image.read(pictures / "a.png").astype(int)
    assert np.abs(image.read(out / "a.jpg") - source).max() > 60, "something is drawn"


def test_the_threshold_leaves_out_what_is_below(run, pictures, tmp_path, monkeypatch):
    counts = []
    for threshold in ("0.1", "1"):
        out = tmp_path / threshold
        run_command(
            monkeypatch, "--run", run, pictures, "--out", out, "--score_threshold", threshold
        )
        counts.append(len(json.loads((out / "detections.json").read_text())))
    assert counts[0] > 0
    assert counts[1] == 0


def test_persons_are_boxes_for_pose(run, pictures, tmp_path, monkeypatch):
    run_command(monkeypatch, "--run", run, pictures, "--out", tmp_path / "out")
    files = image.list_images([pictures])
    boxes = read_picture_boxes(tmp_path / "out" / "detections.json", files, 0.0)
    entries = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert sum(len(found) for found in boxes.values()) == len(entries) > 0


def write_video(path):
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (160, 120))
    for seed in range(3):
        writer.write(np.asarray(small.picture(seed)))
    writer.release()
    return path


def test_a_video(run, tmp_path, monkeypatch):
    source = write_video(tmp_path / "clip.mp4")
    run_command(monkeypatch, "--run", run, source, "--out", tmp_path / "out")
    assert len(list(video.frames(tmp_path / "out" / "clip.mp4"))) == 3
    entries = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {one["frame"] for one in entries} == {0, 1, 2}
    assert {one["file_name"] for one in entries} == {"clip.mp4"}


def test_videos_of_equal_names_are_told_apart(run, tmp_path, monkeypatch):
    both = [write_video(tmp_path / name / "clip.mp4") for name in ("left", "right")]
    run_command(monkeypatch, "--run", run, *both, "--out", tmp_path / "out")
    entries = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {one["file_name"] for one in entries} == set(map(str, both))


def test_equal_names_are_told_apart(run, pictures, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    small.picture(5).save(other / "a.png")
    run_command(monkeypatch, "--run", run, pictures, other, "--out", tmp_path / "out")
    entries = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {one["file_name"] for one in entries} == {
        "b.jpg", str(pictures / "a.png"), str(other / "a.png"),
    }  # fmt: skip


def test_mistakes_are_told_in_a_line(run, pictures, tmp_path, monkeypatch, capsys):
    assert "--score_threshold is 2" in refusal(
        monkeypatch, "--run", run, pictures, "--score_threshold", "2"
    )
    (pictures / "c.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "d.mp4").write_bytes(b"no video")
    words = ("--run", run, pictures, tmp_path / "d.mp4", "--out", tmp_path / "out")
    run_command(monkeypatch, *words, "--data.on_error", "skip")
    assert capsys.readouterr().out.endswith(
        "1 pictures could not be read and were left out\n"
        "1 videos could not be read and were left out\n"
    )


def test_a_checkpoint_without_class_names_asks_for_them(run, pictures, tmp_path, monkeypatch):
    state = torch.load(run / "best.pt", weights_only=True)["model"]
    torch.save({"state_dict": state}, tmp_path / "bare.pth")
    words = ("--checkpoint", tmp_path / "bare.pth", "--out", tmp_path / "out", pictures)
    assert "--data.classes is missing" in refusal(monkeypatch, *words)


def test_an_object_is_tinted_outlined_and_named():
    picture = np.full((100, 120, 3), 100, np.uint8)
    mask = np.zeros((100, 120), np.uint8, order="F")
    mask[40:80, 30:90] = 1
    drawn = draw_objects(picture, [Drawn((30, 40, 90, 80), 2, "cat 0.9", coco_mask.encode(mask))])
    colour = np.array(colour_of(2))
    assert np.allclose(drawn[60, 60], (1 - OPACITY) * 100 + OPACITY * colour, atol=1)
    assert (drawn[60, 30] == colour).all()
    assert (drawn[90, 100] == 100).all()
    assert (drawn[28:39, 30:60] != 100).any(), "the text stands above the box"
    assert (picture == 100).all()
    assert len({colour_of(label) for label in range(1, 81)}) == 80


def test_a_box_at_the_border_is_drawn_inside():
    picture = np.zeros((40, 50, 3), np.uint8)
    drawn = draw_objects(picture, [Drawn((-5, -5, 60, 60), 1, "a long name 0.99")])
    assert drawn.shape == picture.shape
    assert Image.fromarray(drawn).getbbox() is not None
