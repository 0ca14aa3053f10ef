"""Recordings of any kind, and how one is refused."""

import numpy as np
import pytest
import soundfile

from common.errors import DamagedFile
from tasks.speaker import audio


def write(path, samples, rate=16000, **changes):
    soundfile.write(path, samples, rate, **changes)
    return path


def refused(path, *words):
    with pytest.raises(DamagedFile) as caught:
        audio.read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


def write_m4a(path, samples, rate=16000, layout="mono", kind="ipod"):
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        planes = np.atleast_2d(samples)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path
