"""Maps, cut-outs and overlays of people's own pictures and videos."""

import json
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from common.commands.masking import cutout, overlay
from common.errors import UserError
from common.reading import image, video
from tasks.salient import predict
from tasks.salient.draw import BACKGROUND, on_background
from tests.tasks.salient import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    small.write_run(folder)
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


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


LISTS = {"progress.jsonl", "saliency.json"}


def names(folder):
    """What was written of the inputs themselves."""
    return sorted({path.name for path in folder.iterdir()} - LISTS)


def listed(out):
    return json.loads((out / "saliency.json").read_text())["files"]


def test_a_folder_gives_three_files_a_picture(run, pictures, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    run_command(monkeypatch, pictures, "--run", run, "--out", out)
    wanted = ["_cutout.png", "_map.png", "_overlay.jpg"]
    assert names(out) == [stem + end for stem in "ab" for end in wanted]
    assert "2 pictures and 0 videos (0 frames) in" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} >= LISTS
    saliency = Image.open(out / "a_map.png")
    assert saliency.mode == "L"
    assert saliency.size == (small.WIDTH, small.HEIGHT)
    cut = np.asarray(Image.open(out / "a_cutout.png"))
    assert cut.shape == (small.HEIGHT, small.WIDTH, 4)
    assert np.array_equal(cut[..., :3], image.read(pictures / "a.png"))
    assert np.array_equal(cut[..., 3], np.asarray(saliency))
    assert image.read(out / "a_overlay.jpg").shape == cut[..., :3].shape
    first, second = listed(out)
    share = (np.asarray(saliency) > 127).mean()
    assert first == {
        "file_name": "a.png", "map": "a_map.png", "cutout": "a_cutout.png",
        "overlay": "a_overlay.jpg", "share": pytest.approx(share, abs=1e-4),
    }  # fmt: skip
    assert second["file_name"] == "b.jpg"


def test_only_what_was_asked_for(run, pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = (pictures / "a.png", "--run", run, "--out", out, "--outputs", "[map]")
    run_command(monkeypatch, *words)
    assert names(out) == ["a_map.png"]
    assert list(listed(out)[0]) == ["file_name", "map", "share"]


@pytest.mark.parametrize("fit", ["native", "stretch", "pad"])
def test_pictures_of_any_size(run, tmp_path, monkeypatch, fit):
    sizes = [(1, 1), (5, 90), (90, 5), (200, 30), (113, 111)]
    for number, size in enumerate(sizes):
        small.picture(1, size).save(tmp_path / f"{number}.png")
    words = ("--run", run, "--out", tmp_path / "out", "--data.fit", fit)
    run_command(monkeypatch, *tmp_path.glob("*.png"), *words)
    assert len(names(tmp_path / "out")) == 3 * len(sizes)
    for number, size in enumerate(sizes):
        for file in (tmp_path / "out").glob(f"{number}_*"):
            assert Image.open(file).size == size, file.name


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_what_is_transparent_stays_so_and_is_not_seen(run, tmp_path, monkeypatch, suffix):
    """Whatever colours are hidden, map and cut-out are those of white there."""
    left = small.WIDTH // 2
    opacity = np.full((small.HEIGHT, small.WIDTH), 255, np.uint8)
    opacity[:, :left], opacity[:10, left:] = 0, 100
    for name, hidden in (("a", (255, 0, 255)), ("b", (0, 90, 0))):
        colours = np.asarray(small.picture(0)).copy()
        colours[:, :left] = hidden
        picture = Image.fromarray(np.dstack([colours, opacity]))
        picture.save(tmp_path / f"{name}.{suffix}", lossless=True, exact=True)
    out = tmp_path / "out"
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    run_command(monkeypatch, *files, "--run", run, "--out", out)
    cuts = [np.asarray(Image.open(out / f"{name}_cutout.png")) for name in "ab"]
    maps = [np.asarray(Image.open(out / f"{name}_map.png")) for name in "ab"]
    assert (cuts[0][:, :left] == [255, 255, 255, 0]).all()
    np.testing.assert_array_equal(*cuts)
    np.testing.assert_array_equal(*maps)
    np.testing.assert_array_equal(cuts[0][..., 3], np.minimum(maps[0], opacity))


@pytest.fixture
def clip(tmp_path):
    """A video of five frames."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in range(5):
        frame = np.full((48, 64, 3), 40 * number, dtype=np.uint8)
        writer.write(cv2.circle(frame, (10 * number, 20), 9, (0, 0, 255), -1))
    writer.release()
    return path


@pytest.mark.parametrize("kind", ["map", "cutout", "overlay"])
def test_a_video_gives_a_video(run, clip, tmp_path, monkeypatch, capsys, kind):
    out = tmp_path / "out"
    run_command(monkeypatch, clip, "--run", run, "--out", out, "--video", kind)
    assert names(out) == [f"clip_{kind}.mp4"]
    frames = list(video.frames(out / f"clip_{kind}.mp4"))
    assert len(frames) == 5
    assert frames[0].shape == (48, 64, 3)
    assert "1 videos (5 frames)" in capsys.readouterr().out
    assert listed(out) == [{"file_name": "clip.mp4", kind: f"clip_{kind}.mp4", "frames": 5}]


def test_pictures_and_videos_together(run, clip, pictures, tmp_path, monkeypatch, capsys):
    run_command(monkeypatch, pictures, clip, "--run", run, "--out", tmp_path / "out")
    assert len(names(tmp_path / "out")) == 7
    assert "2 pictures and 1 videos (5 frames)" in capsys.readouterr().out


def test_folders_within_folders(run, pictures, tmp_path, monkeypatch):
    (pictures / "more").mkdir()
    small.picture(5).save(pictures / "more" / "a.png")
    words = (pictures, "--run", run, "--out", tmp_path / "out", "--outputs", "[map]")
    run_command(monkeypatch, *words, "--recursive")
    files = {one["file_name"]: one["map"] for one in listed(tmp_path / "out")}
    assert files["more/a.png"] == "more/a_map.png"
    assert all((tmp_path / "out" / file).is_file() for file in files.values())


def test_what_cannot_be_written_or_read_is_told_in_one_line(run, pictures, tmp_path, monkeypatch):
    words = ("--run", run, "--out", tmp_path / "out")
    assert "--outputs" in refusal(monkeypatch, pictures, *words, "--outputs", "[]")
    assert "--outputs" in refusal(monkeypatch, pictures, *words, "--outputs", "[mask]")
    (tmp_path / "broken.mp4").write_text("no video")
    assert "is not a video" in refusal(monkeypatch, tmp_path / "broken.mp4", *words)


def test_a_damaged_video_stops_or_is_skipped(run, clip, pictures, tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "broken.mp4"
    damaged.write_text("no video")
    words = (damaged, clip, pictures, "--run", run, "--out", tmp_path / "out")
    assert "is not a video" in refusal(monkeypatch, *words)
    run_command(monkeypatch, *words[:-1], tmp_path / "other", "--data.on_error", "skip")
    printed = capsys.readouterr()
    assert "2 pictures and 1 videos (5 frames) in " in printed.out
    assert printed.out.endswith("\n1 videos could not be read and were left out\n")
    assert f"skipped: {damaged}: is not a video" in printed.err


def test_what_is_drawn():
    picture = np.asarray(small.picture(0))
    nothing, everything = (np.full(picture.shape[:2], level, np.uint8) for level in (0, 255))
    assert (cutout(picture, everything)[..., 3] == 255).all()
    assert np.array_equal(on_background(picture, everything), picture)
    assert (on_background(picture, nothing) == BACKGROUND).all()
    faded = overlay(picture, nothing)
    assert np.ptp(faded, axis=2).max() == 0, "grey where nothing stands out"
    assert faded.mean() < picture.mean()
    half = nothing.copy()
    half[:, :30] = 255
    drawn = overlay(picture, half)
    assert np.array_equal(drawn[:, 34:], faded[:, 34:])
    assert np.ptp(drawn[:, :28], axis=2).max() > 50
