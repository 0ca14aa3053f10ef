"""Videos are read and written frame by frame."""

import itertools

import cv2
import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from common.reading import video


@pytest.fixture
def clip(tmp_path):
    """Six frames of rising brightness, red, at 12 frames a second."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (64, 48))
    for level in range(6):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = 40 * level
        writer.write(frame)
    writer.release()
    return path


def test_frames_come_in_order_and_in_rgb(clip):
    found = [frame.reshape(-1, 3).mean(axis=0) for frame in video.frames(clip)]
    assert len(found) == 6
    reds = [colour[0] for colour in found]
    assert reds == sorted(reds)
    assert reds[5] == pytest.approx(200, abs=15)
    assert max(colour[2] for colour in found) < 20


def test_a_changed_video_keeps_rate_and_length_and_may_have_another_size(clip, tmp_path):
    target = tmp_path / "out.mp4"
    assert video.transform(clip, target, lambda frame: 255 - frame[:32, :32].copy()) == 6
    capture = cv2.VideoCapture(str(target))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
    frames = list(video.frames(target))
    assert len(frames) == 6
    assert frames[0].shape == (32, 32, 3)
    assert frames[0].mean() > 230


def test_what_is_no_video_is_told(tmp_path, clip):
    (tmp_path / "text.mp4").write_text("not a video")
    for name in ("text.mp4", "none.mp4"):
        with pytest.raises(DamagedFile, match=name):
            list(video.frames(tmp_path / name))
    with pytest.raises(UserError, match="cannot be written"):
        video.transform(clip, tmp_path / "none" / "out.mp4", lambda frame: frame)


def test_videos_are_known_by_their_names(tmp_path):
    assert video.is_video(tmp_path / "a.MP4")
    assert not video.is_video(tmp_path / "a.jpg")


def test_a_video_that_ends_early_is_told(clip, tmp_path, monkeypatch, capsys):
    video.transform(clip, tmp_path / "out.mp4", lambda frame: frame)
    assert capsys.readouterr().err == ""
    decoded = video._decoded
    monkeypatch.setattr(video, "_decoded", lambda capture: itertools.islice(decoded(capture), 3))
    assert video.transform(clip, tmp_path / "out.mp4", lambda frame: frame) == 3
    assert "of the 6 frames that it speaks of 3 could be decoded" in capsys.readouterr().err
