"""Video files: frames in, frames out."""

import sys
import time
from collections.abc import Callable, Iterator
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
    source: Path, target: Path, change: Callable[[Picture], Picture], shown: bool = True
) -> int:
    """Write a video of the changed frames, with a progress bar if `shown`; returns their number.

    The target is an MP4 file with the source's frame rate and no sound. Changed frames all have one
    size, which may differ from the source's.

    Raises:
        DamagedFile: the source is missing, or not a video that OpenCV can decode.
        UserError: the target cannot be written.
    """
    writer: cv2.VideoWriter | None = None
    count = 0
    with _Opened(source) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        bar = tqdm(
            _decoded(capture),
            source.name,
            total,
            unit="frame",
            disable=not (shown and sys.stderr.isatty()),
        )
        try:
            for frame in bar:
                changed = change(frame)
                writer = writer or _writer(target, rate, changed)
                writer.write(cv2.cvtColor(changed, cv2.COLOR_RGB2BGR))
                count += 1
        finally:
            if writer is not None:
                writer.release()
    if count == 0:
        raise DamagedFile(f"{source}: no frame of this video can be decoded")
    # Some formats only estimate their frames.
    if total is not None and count < 0.95 * total:
        print(
            f"{source}: of the {total:,} frames that it speaks of {count:,} could be decoded; is "
            "it cut short?",
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


def _writer(target: Path, rate: float, frame: Picture) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(target), code, rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"{target}: cannot be written; does its folder exist, is the disk full?")
    return writer
