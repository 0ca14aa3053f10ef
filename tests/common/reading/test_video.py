"""Videos are read and written frame by frame."""

import io
import itertools
from fractions import Fraction

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


def test_a_result_may_have_a_codec_that_browsers_play(clip, tmp_path):
    target = tmp_path / "out.webm"
    assert video.transform(clip, target, lambda frame: 255 - frame, codec="VP80") == 6
    assert target.read_bytes()[:4] == b"\x1aE\xdf\xa3" and b"V_VP8" in target.read_bytes()
    assert [frame.shape for frame in video.frames(target)] == [(48, 64, 3)] * 6


def test_pictures_become_a_video(tmp_path):
    pictures = [np.full((32, 48, 3), (40 * level, 0, 0), np.uint8) for level in range(4)]
    video.write(tmp_path / "a.mp4", iter(pictures), 12.5)
    found = list(video.frames(tmp_path / "a.mp4"))
    assert np.abs(np.stack(found).astype(int) - np.stack(pictures)).max() < 16
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS) == 12.5
    with pytest.raises(UserError, match="cannot be written"):
        video.write(tmp_path / "none" / "a.mp4", pictures, 12)


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
    assert "of the 0.5 seconds that it speaks of 0.2 could be decoded" in capsys.readouterr().err


def write_timed(path, milliseconds, live=False):
    """A video as browsers and phones record it: frames of rising brightness at these times."""
    av = pytest.importorskip("av")
    content = io.BytesIO()
    # A stream of a browser cannot be gone back in, to write how long it has become.
    target = _Forward(content) if live else content
    codec, form = ("mpeg4", "mp4") if path.suffix == ".mp4" else ("libvpx", "webm")
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, moment in enumerate(milliseconds):
            picture = np.full((48, 64, 3), level(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path.write_bytes(content.getvalue())


class _Forward:
    def __init__(self, content):
        self.content = content

    def write(self, part):
        return self.content.write(part)


def level(number):
    """Brightness of a frame: neighbours differ by much."""
    return 25 + 40 * (number * 2 % 5)


EVEN = [round(1000 * number / 30) for number in range(40)]
# Like a screen's: nothing for a second, then bursts.
VARIED = [0, 1000, *np.cumsum([1200, *[33, 34, 150, 33, 400] * 6]).tolist()]


@pytest.mark.parametrize("name", ["a.webm", "a.mp4"])
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("times", [EVEN, VARIED], ids=["even", "varied"])
def test_each_frame_is_seen_when_the_source_shows_it(tmp_path, capsys, name, live, times):
    if live and name == "a.mp4":
        pytest.skip("an MP4 file is not written so")
    write_timed(tmp_path / name, times, live)
    target = tmp_path / "out.mp4"
    assert video.transform(tmp_path / name, target, lambda frame: frame) == len(times)
    assert capsys.readouterr().err == ""
    capture = cv2.VideoCapture(str(target))
    rate = capture.get(cv2.CAP_PROP_FPS)
    assert 29 <= rate <= 31
    seen = [round((frame.mean() - 25) / 40) for frame in video.frames(target)]
    assert len(seen) / rate == pytest.approx(times[-1] / 1000 + 1 / 30, abs=1 / rate)
    runs = [
        [index for index, _ in run]
        for _, run in itertools.groupby(enumerate(seen), lambda one: one[1])
    ]
    assert [seen[run[0]] for run in runs] == [level(number) // 40 for number in range(len(times))]
    begins = np.array([run[0] for run in runs]) / rate
    assert np.abs(begins - np.array(times) / 1000).max() <= 1 / rate


def test_a_video_without_times_has_one_frame_after_the_other(clip, tmp_path, monkeypatch):
    opened = cv2.VideoCapture

    class Timeless:
        def __init__(self, path):
            self.capture = opened(path)
            self.isOpened, self.release = self.capture.isOpened, self.capture.release
            self.grab, self.read = self.capture.grab, self.capture.read

        def get(self, name):
            return 0.0

    monkeypatch.setattr(video.cv2, "VideoCapture", Timeless)
    assert video.transform(clip, tmp_path / "out.mp4", lambda frame: frame) == 6
    monkeypatch.undo()
    assert len(list(video.frames(tmp_path / "out.mp4"))) == 6
