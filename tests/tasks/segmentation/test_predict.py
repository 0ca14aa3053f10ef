"""Label maps of people's own pictures and videos: what is written, and what is refused."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from common.commands.opened import Opened
from common.errors import UserError
from common.reading import image, video
from tasks.segmentation import predict
from tasks.segmentation.config import ScoredConfig, ScoringConfig
from tasks.segmentation.inference import Predictor
from tasks.segmentation.palette import voc_colours
from tests.tasks.segmentation import small
from tests.tasks.segmentation.oracle import Pointwise, tiny_config, write_run


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
        Image.fromarray(small.picture(seed)).save(folder / name)
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
    run_command(monkeypatch, pictures, "--run", run, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.png", "a_overlay.jpg", "b.png", "b_overlay.jpg", "progress.jsonl", "segments.json",
        "segments_legend.png",
    ]  # fmt: skip
    mask = Image.open(out / "a.png")
    assert mask.mode == "P"
    assert mask.size == (small.WIDTH, small.HEIGHT)
    assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    assert mask.getpalette()[:9] == voc_colours()[:3].ravel().tolist()
    content = json.loads((out / "segments.json").read_text())
    assert [one["class"] for one in content["classes"]] == list(small.CLASSES)
    assert [one["file_name"] for one in content["files"]] == ["a.png", "b.jpg"]
    shares = content["files"][0]["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert image.read(out / "b_overlay.jpg").shape == (small.HEIGHT, small.WIDTH, 3)
    assert "2 pictures and 0 videos" in capsys.readouterr().out


def test_labels_and_shares_are_those_of_the_model(run):
    model, config = (
        Pointwise().eval(),
        ScoredConfig(data=tiny_config().data, test=ScoringConfig(short_side=0)),
    )
    predictor = Predictor(Opened(model, model, None, torch.device("cpu"), "fp32"), config)
    picture = small.picture(3)
    found = predictor(picture)
    assert np.array_equal(found.labels, picture.argmax(axis=2))
    shares = predictor.describe(found)["shares"]
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares["disc"] == pytest.approx((picture.argmax(axis=2) == 1).mean(), abs=1e-4)


def test_a_video(run, tmp_path, monkeypatch):
    source = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(
        str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (small.WIDTH, small.HEIGHT)
    )
    for seed in range(4):
        writer.write(cv2.cvtColor(small.picture(seed), cv2.COLOR_RGB2BGR))
    writer.release()
    out = tmp_path / "out"
    run_command(monkeypatch, source, "--run", run, "--out", out)
    frames = list(video.frames(out / "clip.mp4"))
    assert len(frames) == 4
    assert frames[0].shape == (small.HEIGHT, small.WIDTH, 3)
    assert json.loads((out / "segments.json").read_text())["files"][0]["frames"] == 4


def test_colours_of_a_palette(tmp_path, pictures, monkeypatch):
    write_run(tmp_path / "run", data={"palette": ((9, 8, 7), (1, 2, 3), (50, 60, 70))})
    run_command(monkeypatch, pictures / "a.png", "--run", tmp_path / "run")
    mask = Image.open(tmp_path / "run" / "predictions" / "a.png")
    assert mask.getpalette()[:6] == [9, 8, 7, 1, 2, 3]


def test_an_overlay_is_not_written_onto_an_input(run, tmp_path, monkeypatch):
    for number, name in enumerate(("a.jpg", "a_overlay.jpg")):
        Image.fromarray(small.picture(number)).save(tmp_path / name)
    before = (tmp_path / "a_overlay.jpg").read_bytes()
    with pytest.raises(UserError, match=r"would overwrite the input .*a_overlay\.jpg"):
        run_command(monkeypatch, tmp_path, "--run", run, "--out", tmp_path)
    assert (tmp_path / "a_overlay.jpg").read_bytes() == before


def test_a_damaged_video_stops_or_is_skipped(run, pictures, tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "broken.mp4"
    damaged.write_text("no video")
    words = (damaged, pictures, "--run", run, "--out", tmp_path / "out")
    missing = (tmp_path / "none.mp4", *words[1:])
    assert "none.mp4: no such file" in refusal(monkeypatch, *missing)
    assert "is not a video" in refusal(monkeypatch, *words)
    run_command(monkeypatch, *words, "--resume", "--data.on_error", "skip")
    assert "1 videos could not be read and were left out" in capsys.readouterr().out
    files = json.loads((tmp_path / "out" / "segments.json").read_text())["files"]
    assert [one["file_name"] for one in files] == ["a.png", "b.jpg"]


def test_low_precision(run, pictures, tmp_path, monkeypatch):
    outs = []
    for precision in ("fp32", "bf16"):
        outs.append(tmp_path / precision)
        words = (pictures / "a.png", "--run", run, "--out", outs[-1], "--precision", precision)
        run_command(monkeypatch, *words)
    first, second = (np.asarray(Image.open(out / "a.png")) for out in outs)
    assert (first == second).mean() > 0.9
