"""Reading m4a, the format of VoxCeleb2, through PyAV: the extra `audio`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DamagedFile, UserError

try:
    import av
except ImportError as error:
    raise UserError(
        "m4a files need PyAV: install this project with its extra, pip install '.[audio]', or "
        "convert the files to wav or flac"
    ) from error

# The decoder's first output after a seek is not yet settled.
_LEAD_SECONDS = 0.15


class _Mpeg4:
    """The first sound stream of an MPEG-4 file."""

    def __init__(self, path: Path, container: "av.container.InputContainer") -> None:
        stream = container.streams.audio[0]
        self.path, self._container, self._stream = path, container, stream
        # A damaged header leaves a stream without a codec, and so without a rate.
        self.rate = int(getattr(stream, "rate", 0) or 0)
        if (
            stream.duration is None
            or stream.time_base is None
            or container.format.name == "aac"  # bare frames, whose length FFmpeg guesses
        ):
            raise DamagedFile(
                f"{path}: does not say how long it is; convert it to m4a, wav or flac"
            )
        self._tick = float(stream.time_base)
        self.frames = int(stream.duration * stream.time_base * self.rate)

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Samples (n, channels)."""
        parts: list[NDArray[np.float32]] = []
        first: int | None = None
        have = 0
        try:
            lead = max(0.0, start / self.rate - _LEAD_SECONDS)
            self._container.seek(int(lead / self._tick), stream=self._stream)
            for frame in self._container.decode(self._stream):
                samples = frame.to_ndarray()
                channels = len(frame.layout.channels)
                if not frame.format.is_planar:
                    samples = samples.reshape(-1, channels).T
                if first is None:
                    first = round((frame.pts or 0) * self._tick * self.rate)
                parts.append(_full_scale(samples).T)
                have += len(parts[-1])
                if first + have >= start + count:
                    break
        except av.FFmpegError as error:
            raise DamagedFile(f"{self.path}: cannot be decoded ({error.strerror})") from None
        if first is None:
            return np.empty((0, 1), dtype=np.float32)
        skipped = max(0, start - first)
        return np.concatenate(parts)[skipped : skipped + count]


@contextmanager
def opened_mpeg4(path: Path, start: bytes) -> Iterator[_Mpeg4]:
    """Open an m4a file.

    Raises:
        DamagedFile: it cannot be read, or has no sound.
    """
    try:
        # Words in the header may be damaged as well; they are not needed.
        container = av.open(str(path), metadata_errors="replace")
    except av.FFmpegError as error:
        raise DamagedFile(
            f"{path}: is not an m4a that FFmpeg can read ({error.strerror}; "
            f"{path.stat().st_size:,} bytes, beginning with {start[:8]!r}); is it cut short?"
        ) from None
    with container:
        if not container.streams.audio:
            raise DamagedFile(f"{path}: holds no sound stream")
        yield _Mpeg4(path, container)


def _full_scale(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of -1..1, from whatever the decoder gives."""
    half = 2.0 ** (8 * samples.itemsize - 1)
    if samples.dtype.kind == "i":
        samples = samples / half
    elif samples.dtype.kind == "u":
        samples = (samples - half) / half
    return np.asarray(samples, dtype=np.float32)
