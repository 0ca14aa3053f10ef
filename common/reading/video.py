"""Video files: frames in, frames out."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from common.errors import DamagedFile, UserError
from common.reading.image import Picture

SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
})  # fmt: skip

_MEASURED = 10
"""Frames by which the rate of a recording is measured."""

_LOOKED_AT = 300
"""Frames by which a file's own rate is judged."""

_FASTEST = 60
"""Frames a second of a video whose file tells no rate that can be believed."""

# What is wrong with a file is said in one line here, and not by FFmpeg before it.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def is_video(path: Path) -> bool:
    """Whether the name is that of a video."""
    return path.suffix.lower() in SUFFIXES


def frames(path: Path) -> Iterator[Picture]:
    """The frames (H, W, 3) of a video, RGB, in order.

    Raises:
        DamagedFile: it is missing, or not a video that OpenCV can decode.
    """
    with _Opened(path) as capture:
        yield from _decoded(capture)


def transform(
    source: Path,
    target: Path,
    change: Callable[[Picture], Picture],
    shown: bool = True,
    codec: str = "mp4v",
) -> int:
    """Write a video of the changed frames, with a progress bar if `shown`; returns their number.

    The target is an MP4 file without sound in which each frame is seen when the source shows it:
    at the source's rate, or, where that varies or makes no sense, at that of its quickest frames,
    with slower ones repeated. Changed frames all have one size, which may differ from the source's.
    A codec that browsers play is VP80, for which the target is a WebM file.

    Raises:
        DamagedFile: the source is missing, or not a video that OpenCV can decode.
        UserError: the target cannot be written.
    """
    rate, count = _steady_rate(source), 0
    with _Opened(source) as capture, _Held(target, rate, codec) as held:
        said = _said_seconds(capture)
        bar = tqdm(
            _timed(capture, rate),
            source.name,
            round(said * rate) or None,
            unit="frame",
            disable=not (shown and sys.stderr.isatty()),
        )
        for moment, frame in bar:
            held.show(change(frame), moment)
            count += 1
    if count == 0:
        raise DamagedFile(f"{source}: no frame of this video can be decoded")
    seconds = held.written / rate
    if seconds < 0.95 * said:  # some formats only estimate their length
        print(
            f"{source}: of the {said:.1f} seconds that it speaks of {seconds:.1f} could be "
            "decoded; is it cut short?",
            file=sys.stderr,
        )
    return count


def record(
    address: str, target: Path, change: Callable[[Picture], Picture], shown: bool = True
) -> int:
    """Write a video of a camera's changed frames until it ends or Ctrl-C comes.

    The rate of the target is that at which its first frames were made, so that it plays as it was
    seen.

    Args:
        address: the number of a camera, or the address of a stream that OpenCV can open.
        target: an MP4 file.
        change: what is written of a frame; always of one size.
        shown: whether a bar says frames and frames a second.

    Returns:
        The number of frames.

    Raises:
        UserError: it cannot be opened, gives no frame, or the target cannot be written.
    """
    capture = cv2.VideoCapture(int(address) if address.isdecimal() else address)
    if not capture.isOpened():
        raise UserError(f"--camera {address}: cannot be opened; is it there and free?")
    writer: cv2.VideoWriter | None = None
    first: list[Picture] = []
    count, begun = 0, time.perf_counter()
    bar = tqdm(_decoded(capture), f"camera {address}", unit="frame", disable=not shown)
    try:
        for frame in bar:
            first.append(change(frame))
            count += 1
            if len(first) < _MEASURED and writer is None:
                continue
            writer = writer or _writer(target, _rate(count, begun), first[0])
            _append(writer, first)
    except KeyboardInterrupt:
        pass  # the way in which a person ends it
    finally:
        if first and writer is None:
            writer = _writer(target, _rate(count, begun), first[0])
        if writer is not None:
            _append(writer, first)
            writer.release()
        capture.release()
        bar.close()
    if count == 0:
        raise UserError(f"--camera {address}: gives no frame")
    return count


def write(target: Path, pictures: Iterable[Picture], rate: float) -> None:
    """Write pictures (H, W, 3) of one size, RGB, as an MP4 file of so many a second.

    Raises:
        UserError: it cannot be written.
    """
    writer: cv2.VideoWriter | None = None
    try:
        for picture in pictures:
            writer = writer or _writer(target, rate, picture)
            _append(writer, [picture])
    finally:
        if writer is not None:
            writer.release()


class _Held:
    """A video of one rate, in which pictures are held until the next one's moment."""

    def __init__(self, target: Path, rate: float, codec: str) -> None:
        self.target, self.rate, self.codec = target, rate, codec
        self.written = 0
        self._writer: cv2.VideoWriter | None = None
        self._picture: Picture | None = None

    def show(self, picture: Picture, moment: float) -> None:
        """The picture that is seen from a moment on, in seconds since the first."""
        place = moment * self.rate
        # Nearest to its moment, or a frame late where the one before it would not be seen.
        self._hold(max(round(place), min(self.written + 1, math.floor(place) + 1)))
        self._picture = picture

    def _hold(self, until: int) -> None:
        """Write the picture until so many are written."""
        if self._picture is None or until <= self.written:
            return
        self._writer = self._writer or _writer(self.target, self.rate, self._picture, self.codec)
        ordered = cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR)
        for _ in range(until - self.written):
            self._writer.write(ordered)
        self.written = until

    def __enter__(self) -> "_Held":
        return self

    def __exit__(self, *_: object) -> None:
        self._hold(self.written + 1)
        if self._writer is not None:
            self._writer.release()


def _steady_rate(source: Path) -> float:
    """Frames a second: what the file says if its first frames agree, else that of the quickest.

    A recording of a browser says 1000, the unit of its time; one of a phone, the mean.
    """
    with _Opened(source) as capture:
        said = capture.get(cv2.CAP_PROP_FPS)
        times = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in range(_LOOKED_AT) if capture.grab()]
    steps = np.diff(times) / 1000
    if not (steps > 0).any():
        return said if 1 <= said <= _FASTEST else 25.0
    quick = float(np.percentile(steps[steps > 0], 10))
    if abs(said * quick - 1) < 0.1:
        return float(said)
    return float(np.clip(round(1 / quick), 1, _FASTEST))


def _said_seconds(capture: cv2.VideoCapture) -> float:
    """The length that the file speaks of; 0 if it does not."""
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return max(0.0, frames / rate) if rate > 0 else 0.0


def _timed(capture: cv2.VideoCapture, rate: float) -> Iterator[tuple[float, Picture]]:
    """The frames, each with the seconds since the first; without times, one follows at the rate."""
    first = last = None
    for frame in _decoded(capture):
        now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        first = now if first is None else first
        moment = now - first
        if last is not None and moment <= last:
            moment = last + 1 / rate
        last = moment
        yield moment, frame


def _rate(frames: int, begun: float) -> float:
    """Frames a second since then, as a rate that players and the format know."""
    return float(min(60, max(1, round(frames / (time.perf_counter() - begun)))))


def _append(writer: cv2.VideoWriter, pictures: list[Picture]) -> None:
    """Write the pictures and forget them."""
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    pictures.clear()


class _Opened:
    """An open video that is closed in every case."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DamagedFile(f"{path}: no such file")
        self.capture = cv2.VideoCapture(str(path))
        if not self.capture.isOpened():
            raise DamagedFile(f"{path}: is not a video that OpenCV can decode")

    def __enter__(self) -> cv2.VideoCapture:
        return self.capture

    def __exit__(self, *_: object) -> None:
        self.capture.release()


def _decoded(capture: cv2.VideoCapture) -> Iterator[Picture]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _writer(target: Path, rate: float, frame: Picture, codec: str = "mp4v") -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    code = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(target), code, rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"{target}: cannot be written; does its folder exist, is the disk full?")
    return writer
