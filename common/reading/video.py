"""Video files: frames in, frames out."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from common.errors import DamagedFile, UserError
from common.reading.image import Picture

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})


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


def transform(source: Path, target: Path, change: Callable[[Picture], Picture]) -> int:
    """Write a video of the changed frames, with a progress bar; returns their number.

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
            _decoded(capture), source.name, total, unit="frame", disable=not sys.stderr.isatty()
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
