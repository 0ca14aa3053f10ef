"""Classes and maps of people's own pictures: what is written, and what is refused."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from backbone import WeightsError
from common.errors import UserError
from common.reading import image, video
from tasks.classification import labels, predict
from tasks.classification.config import ModelConfig
from tasks.classification.draw import SIDE, Guess, Panel, overlay, row
from tasks.classification.model import build, to_published
from tests.tasks.classification import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    small.write_run(folder / "run", small.write_tree(folder / "data"))
    return folder / "run"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        small.picture(seed, 90, 70).save(folder / name)
    return folder


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
    predict.main()


def refusal(monkeypatch, *words):
    with pytest.raises((UserError, WeightsError)) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def entries_in(out):
    return json.loads((out / "predictions.json").read_text())


def test_the_best_classes_of_a_folder(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    run_command(monkeypatch, pictures, "--run", run, "--out", out, "--top", 2)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.jpg", "b.jpg", "predictions.json", "progress.jsonl",
    ]  # fmt: skip
    entries = entries_in(out)
    assert [entry["file_name"] for entry in entries] == ["a.png", "b.jpg"]
    (model,) = entries[0]["models"]
    assert model["model"] == small.BACKBONE
    first, second = model["classes"]
    assert {first["class"], second["class"]} < set(small.CLASSES)
    assert 1 > first["probability"] >= second["probability"] > 0
    assert image.read(out / "a.jpg").shape[1] == SIDE + 16
    assert "2 pictures and 0 videos, drawn in" in capsys.readouterr().out


def test_probabilities_are_those_of_the_evaluation(run, pictures, tmp_path, monkeypatch):
    run_command(monkeypatch, pictures / "b.jpg", "--run", run, "--out", tmp_path / "out")
    content = torch.load(run / "best.pt", weights_only=True)
    model = build(small.BACKBONE, 3, ModelConfig())
    model.load_state_dict(content["model"])
    seen = Image.open(pictures / "b.jpg").resize((41, 32), Image.Resampling.BILINEAR)
    seen = seen.crop((4, 0, 36, 32))
    with torch.inference_mode():
        batch = torch.from_numpy(np.array(seen)).permute(2, 0, 1)[None]
        expected = model.eval()(batch).softmax(dim=1)[0]
    found = {
        one["class"]: one["probability"]
        for one in entries_in(tmp_path / "out")[0]["models"][0]["classes"]
    }
    for number, name in enumerate(small.CLASSES):
        assert found[name] == pytest.approx(expected[number].item(), abs=2e-4)


def test_maps_of_two_models_side_by_side(run, pictures, tmp_path, monkeypatch):
    torch.manual_seed(1)
    other = build("resnet26_half", 3, ModelConfig())
    torch.save(to_published(other.state_dict()), tmp_path / "resnet.pth")
    out = tmp_path / "out"
    words = [pictures, "--run", run, "--cam", "--compare", tmp_path / "resnet.pth", "--out", out]
    run_command(monkeypatch, *words)
    models = entries_in(out)[0]["models"]
    assert [model["model"] for model in models] == [small.BACKBONE, "resnet26_half"]
    assert models[1]["classes"][0]["class"] in ("0", "1", "2")
    assert image.read(out / "a.jpg").shape[1] == 3 * (SIDE + 8) + 8
    run_command(monkeypatch, *words[:3], "--compare", run, "--out", out)
    first, second = entries_in(out)[0]["models"]
    assert first["classes"] == second["classes"]
    assert first["model"] == f"{small.BACKBONE} ({run.name})"


def test_switches_may_stand_before_the_pictures(run, pictures, tmp_path, monkeypatch):
    """The command of the README: ``--cam PICTURES``."""
    run_command(monkeypatch, "--run", run, "--out", tmp_path / "out", "--cam", pictures)
    assert len(entries_in(tmp_path / "out")) == 2
    assert image.read(tmp_path / "out" / "a.jpg").shape[1] == 2 * (SIDE + 8) + 8


def test_both_methods_draw_the_same_at_the_last_stage(run, pictures, tmp_path, monkeypatch):
    drawn = {}
    for method, stage in (("cam", "c5"), ("grad_cam", "c5"), ("grad_cam", "c3")):
        out = tmp_path / f"{method}_{stage}"
        run_command(
            monkeypatch, pictures / "a.png", "--run", run, "--out", out, "--cam",
            "--method", method, "--stage", stage, "--target", "dog",
        )  # fmt: skip
        drawn[method, stage] = image.read(out / "a.jpg").astype(int)
    assert np.abs(drawn["cam", "c5"] - drawn["grad_cam", "c5"]).max() <= 3
    assert np.abs(drawn["cam", "c5"] - drawn["grad_cam", "c3"]).max() > 20


def test_the_orientation_that_people_see(run, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = small.picture(3, 64, 64).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    small.picture(3, 64, 64).save(tmp_path / "plain.png")
    run_command(
        monkeypatch, tmp_path / "turned.jpg", tmp_path / "plain.png", "--run", run,
        "--out", tmp_path / "out",
    )  # fmt: skip
    shown = [image.read(tmp_path / "out" / f"{name}.jpg") for name in ("turned", "plain")]
    assert np.abs(shown[0][40:200].astype(int) - shown[1][40:200]).mean() < 3


def write_video(path, frames=3):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for seed in range(frames):
        picture = np.asarray(small.picture(seed, 64, 48))
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()


def test_a_video_is_drawn_frame_by_frame(run, tmp_path, monkeypatch, capsys):
    write_video(tmp_path / "clip.avi")
    out = tmp_path / "out"
    run_command(monkeypatch, tmp_path / "clip.avi", "--run", run, "--cam", "--out", out)
    frames = list(video.frames(out / "clip.mp4"))
    assert [frame.shape[1] for frame in frames] == [2 * (SIDE + 8) + 8] * 3
    entries = entries_in(out)
    assert [entry["frame"] for entry in entries] == [0, 1, 2]
    assert {entry["drawn"] for entry in entries} == {"clip.mp4"}
    assert len(entries[0]["models"][0]["classes"]) == 3
    assert "0 pictures and 1 videos" in capsys.readouterr().out


def test_a_command_goes_on_where_it_ended(run, pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_command(monkeypatch, pictures / "a.png", "--run", run, "--out", out)
    before = (out / "a.jpg").stat().st_mtime_ns
    words = [pictures, "--run", run, "--out", out, "--resume"]
    run_command(monkeypatch, *words)
    assert (out / "a.jpg").stat().st_mtime_ns == before
    assert [entry["file_name"] for entry in entries_in(out)] == ["a.png", "b.jpg"]
    assert "under other settings" in refusal(monkeypatch, *words, "--compare", run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sample", 3], "--sample 3: must be at least 10"),
        (["--top", 0], "--top 0: must be at least 1"),
        (["--cam", "--stage", "c4"], "--stage c4: --method cam knows the last stage only"),
        (["--target", "cat"], "--target: is of the maps that --cam draws; add --cam"),
        (["--method", "gradcam"], "--method"),
    ],
)
def test_flags_that_do_not_go(run, monkeypatch, words, message):
    assert message in refusal(monkeypatch, "--run", run, *words)


def test_classes_and_models_that_are_not_there(run, pictures, tmp_path, monkeypatch):
    words = [pictures, "--run", run, "--out", tmp_path / "out", "--cam"]
    message = refusal(monkeypatch, *words, "--target", "cats")
    assert message.startswith("cats: no such class; allowed are the names and numbers 0 to 2")
    assert "did you mean cat?" in message
    assert "--compare nowhere: no such file" in refusal(monkeypatch, *words, "--compare", "nowhere")
    torch.save({"fc.weight": torch.ones(3, 4)}, tmp_path / "odd.pth")
    message = refusal(monkeypatch, *words, "--compare", tmp_path / "odd.pth")
    assert "these are not the weights of a ResNet, Res2Net or DLA" in message


def test_classes_are_found_by_name_number_and_words():
    classes = labels.Classes(("n1", "n2"), ("tench, Tinca tinca", "goldfish"))
    assert [classes.index(text) for text in ("n2", "1", "goldfish", "0")] == [1, 1, 1, 0]
    with pytest.raises(UserError, match=r"did you mean tench, Tinca tinca\?"):
        classes.index("Tench")
    with pytest.raises(UserError, match="5: no such class"):
        classes.index("5")


def test_heat_is_red_where_it_is_strong():
    grey = np.full((4, 4, 3), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    shown = overlay(grey, heat).astype(int)
    assert shown[0, 0, 0] > shown[0, 0, 2]
    assert shown[3, 3, 2] > shown[3, 3, 0]


def test_a_row_of_panels():
    picture = np.zeros((20, 20, 3), np.uint8)
    long = "a class with a name that is far too long to be written in one line of it"
    panels = [
        Panel("name of a picture.jpg", picture, []),
        Panel("model", picture, [Guess(long, 0.9), Guess("zürich", 0.1)]),
    ]
    drawn = row(panels)
    assert drawn.shape == (2 * 8 + 20 + SIDE + 2 * 20 + 8, 2 * (SIDE + 8) + 8, 3)
    assert not drawn[60:200, 20:200].any(), "the picture itself, enlarged"
    bars = drawn[8 + 20 + SIDE + 8 + 2, 8 + SIDE + 8 :]
    assert 0.85 * SIDE < (bars[:, 0] < 255).sum() < 0.95 * SIDE
