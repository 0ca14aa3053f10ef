"""Skeletons on people's own pictures: what is written, and what is refused."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from common.reading import image, video
from tasks.pose import predict
from tasks.pose.boxes import Box
from tasks.pose.config import DataConfig
from tasks.pose.predict import PredictConfig
from tests.tasks.pose import small
from tests.tasks.pose.oracle import find_people, tiny_config, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    write_run(folder)
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        small.picture(seed).save(folder / name)
    return folder


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
    predict.main()


def people_in(out):
    return json.loads((out / "keypoints.json").read_text())["people"]


def test_a_folder_without_boxes_takes_each_picture_as_one_person(
    run, pictures, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    run_command(monkeypatch, pictures, "--run", run, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.jpg", "b.jpg", "keypoints.json", "progress.jsonl",
    ]  # fmt: skip
    people = people_in(out)
    assert [person["file_name"] for person in people] == ["a.png", "b.jpg"]
    assert [person["drawn"] for person in people] == ["a.jpg", "b.jpg"]
    assert people[0]["box"] == [0, 0, small.WIDTH, small.HEIGHT]
    assert np.shape(people[0]["keypoints"]) == (17, 3)
    content = json.loads((out / "keypoints.json").read_text())
    assert content["joints"][0] == "nose"
    drawn, plain = image.read(out / "b.jpg"), image.read(pictures / "b.jpg")
    assert drawn.shape == plain.shape
    assert "2 people in 2 pictures" in capsys.readouterr().out


def test_boxes_from_a_file_and_pictures_without(run, pictures, tmp_path, monkeypatch, capsys):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [[10, 10, 60, 80], [90, 20, 50, 90]]}))
    out = tmp_path / "out"
    words = [pictures / "a.png", pictures / "b.jpg", "--run", run, "--out", out]
    run_command(monkeypatch, *words, "--boxes", boxes)
    assert {person["file_name"] for person in people_in(out)} == {"a.png"}
    assert len(people_in(out)) == 2
    assert "1 of the pictures have no box" in capsys.readouterr().out
    untouched = image.read(out / "b.jpg").astype(int) - image.read(pictures / "b.jpg")
    assert abs(untouched).max() < 30, "saved again, but nothing drawn"


def test_joints_follow_the_exif_rotation_that_people_see(run, tmp_path, monkeypatch):
    upright = small.picture(3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    out = tmp_path / "out"
    run_command(monkeypatch, tmp_path / "turned.jpg", "--run", run, "--out", out)
    assert image.read(out / "turned.jpg").shape == (small.HEIGHT, small.WIDTH, 3)
    assert people_in(out)[0]["box"] == [0, 0, small.WIDTH, small.HEIGHT]


class Bright(torch.nn.Module):
    """Heat maps that are the brightness of one colour channel."""

    def __init__(self, channel):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.channel = channel

    def forward(self, images):
        channel = images[:, self.channel, None].float() / 255
        return torch.nn.functional.avg_pool2d(channel, 4).expand(-1, 17, -1, -1)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_joints_are_found_in_the_picture_in_the_recipes_colour_order(colour):
    picture = np.zeros((120, 160, 3), dtype=np.uint8)
    cv2.circle(picture, (100, 50), 4, (255, 0, 0), -1)  # red
    data = DataConfig(colour=colour, input_size=(256, 192))
    config = PredictConfig(data=data)
    boxes = [Box((60.0, 10.0, 60.0, 80.0), 0.8), Box((0.0, 60.0, 50.0, 50.0), 0.8)]
    found = find_people(Bright(0 if colour == "RGB" else 2), picture, boxes, config)
    assert found.boxes[0] == boxes[0]
    assert np.abs(found.joints[0, :, :2] - (100, 50)).max() < 3
    assert found.scores[0] == pytest.approx(0.8 * found.joints[0, 0, 2])
    assert found.scores[1] == 0


def test_a_person_boxed_twice_is_reported_once():
    picture = np.zeros((120, 160, 3), dtype=np.uint8)
    cv2.circle(picture, (100, 50), 4, (255, 0, 0), -1)
    config = PredictConfig(data=DataConfig(input_size=(256, 192)))
    boxes = [Box((60.0, 10.0, 60.0, 80.0), 0.7), Box((61.0, 10.0, 60.0, 80.0), 0.8)]
    found = find_people(Bright(0), picture, boxes, config)
    assert found.boxes == [boxes[1]]


def test_more_boxes_than_a_batch_holds():
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    boxes = [Box((5.0 * k, 4.0 * k, 30.0, 50.0), 1.0) for k in range(7)]
    whole = tiny_config()
    config = PredictConfig(data=whole.data)
    found = find_people(Bright(0), picture, boxes, config)
    small_batches = PredictConfig(
        data=whole.data, engine=type(whole.engine)(batch_size=3, device="cpu")
    )
    in_parts = find_people(Bright(0), picture, boxes, small_batches)
    np.testing.assert_allclose(in_parts.joints, found.joints)


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_box_outside_its_picture_stops_or_is_skipped(run, pictures, tmp_path, monkeypatch):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [[500, 10, 60, 80], [10, 10, 60, 80]]}))
    words = (pictures / "a.png", "--run", run, "--out", tmp_path / "out", "--boxes", boxes)
    assert "outside its 160x120 pixels" in refusal(monkeypatch, *words)
    run_command(monkeypatch, *words, "--data.on_error", "skip")
    assert len(people_in(tmp_path / "out")) == 1


def test_the_checks_of_the_run_are_those_of_predict(run, pictures, monkeypatch):
    words = (pictures, "--run", run, "--weights", "a", "--finetune", "b")
    assert "--weights and --finetune: give one" in refusal(monkeypatch, *words)


def write_video(path):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (small.WIDTH, small.HEIGHT)
    )
    for seed in range(3):
        writer.write(np.asarray(small.picture(seed)))
    writer.release()
    return path


def test_a_video_whose_frames_are_one_person_each(run, tmp_path, monkeypatch, capsys):
    source = write_video(tmp_path / "clip.mp4")
    run_command(monkeypatch, source, "--run", run, "--out", tmp_path / "out")
    frames = list(video.frames(tmp_path / "out" / "clip.mp4"))
    assert [frame.shape for frame in frames] == [(small.HEIGHT, small.WIDTH, 3)] * 3
    people = people_in(tmp_path / "out")
    assert [person["frame"] for person in people] == [0, 1, 2]
    assert {(person["file_name"], person["drawn"]) for person in people} == {("clip.mp4",) * 2}
    assert people[0]["box"] == [0, 0, small.WIDTH, small.HEIGHT]
    assert "3 people in 0 pictures and 1 videos" in capsys.readouterr().out


def test_a_video_with_a_detectors_boxes(run, pictures, tmp_path, monkeypatch, capsys):
    source = write_video(tmp_path / "clip.mp4")
    boxes = tmp_path / "detections.json"
    where = {"file_name": "clip.mp4", "category_id": 1, "score": 0.9}
    found = [(0, [10, 10, 60, 80]), (2, [10, 10, 60, 80]), (2, [90, 20, 50, 90])]
    listed = [{**where, "frame": frame, "bbox": box} for frame, box in found]
    cat = {**where, "frame": 1, "bbox": [10, 10, 60, 80], "category_id": 17}
    boxes.write_text(json.dumps([*listed, cat]))
    words = (source, pictures / "a.png", "--run", run, "--out", tmp_path / "out")
    run_command(monkeypatch, *words, "--boxes", boxes)
    people = people_in(tmp_path / "out")
    assert sorted((person["frame"], person["box"]) for person in people) == found
    assert "1 of the pictures have no box" in capsys.readouterr().out
    boxes.write_text(json.dumps([{**where, "bbox": [10, 10, 60, 80]}]))
    assert "has the frame None" in refusal(monkeypatch, *words, "--boxes", boxes)


def test_what_brings_no_boxes_or_its_own(run, tmp_path, monkeypatch):
    words = ("--run", run, "--out", tmp_path / "out", "--boxes", tmp_path / "boxes.json")
    assert "--sample brings its own" in refusal(monkeypatch, *words, "--sample", 2)
    assert "--camera takes whole pictures" in refusal(monkeypatch, *words, "--camera", 0)


def test_going_on_where_it_stopped(run, pictures, tmp_path, monkeypatch, capsys):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({name: [[10, 10, 60, 80]] for name in ("a.png", "c.png")}))
    out = tmp_path / "out"
    words = (pictures, "--run", run, "--out", out, "--boxes", boxes)
    run_command(monkeypatch, *words)
    first = (out / "a.jpg").stat().st_mtime_ns
    small.picture(5).save(pictures / "c.png")
    capsys.readouterr()
    run_command(monkeypatch, *words, "--resume")
    assert (out / "a.jpg").stat().st_mtime_ns == first
    assert [person["file_name"] for person in people_in(out)] == ["a.png", "c.png"]
    assert "1 of the pictures have no box" in capsys.readouterr().out
    boxes.write_text(json.dumps({"a.png": [[10, 10, 60, 81]]}))
    assert "under other settings" in refusal(monkeypatch, *words, "--resume")


def test_low_precision(run, pictures, tmp_path, monkeypatch):
    outs = []
    for precision in ("fp32", "bf16"):
        outs.append(tmp_path / precision)
        words = (pictures / "a.png", "--run", run, "--out", outs[-1], "--precision", precision)
        run_command(monkeypatch, *words)
    full, low = (np.array(people_in(out)[0]["keypoints"]) for out in outs)
    np.testing.assert_allclose(low[:, 2], full[:, 2], atol=0.02)
