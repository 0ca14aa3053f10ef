"""What a slim container lacks is one line, from every command of every task."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import opencv

ROOT = Path(__file__).parents[2]
GL = "libGL.so.1: cannot open shared object file: No such file or directory"
LINE = (
    "libGL.so.1: OpenCV needs this library, and the system does not have it; on Debian and Ubuntu: "
    "apt-get install libgl1"
)


@pytest.fixture
def slim(tmp_path):
    """The environment of a system on which OpenCV's wheel cannot be loaded."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({GL!r})\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}


def run(*words, env, cwd):
    return subprocess.run(
        [sys.executable, *words], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["tasks.speaker.train", "common.commands.results"])
def test_a_missing_library_of_the_system_is_one_line_from_a_command(slim, tmp_path, command):
    done = run("-m", command, "--help", env=slim, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {LINE}\n")


def test_a_program_gets_an_import_error_with_the_line(slim, tmp_path):
    program = "try:\n    import tasks\nexcept ImportError as error:\n    print(error)"
    assert run("-c", program, env=slim, cwd=tmp_path).stdout == f"{LINE}\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (GL, "libgl1"),
        (GL.replace("libGL.so.1", "libgthread-2.0.so.0"), "libglib2.0-0"),
        (GL.replace("libGL.so.1", "libxcb.so.1"), "libxcb1"),
        (GL.replace("libGL.so.1", "libodd++-2.so.7"), "apt-file search libodd++-2.so.7"),
        ("Error loading shared library libxcb.so.1: No such file (needed by x.so)", "libxcb1"),
    ],
)
def test_the_package_is_named(message, expected):
    assert expected in opencv.explain(message)


@pytest.mark.parametrize(
    "message",
    ["No module named 'cv2'", "/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found"],
)
def test_other_faults_of_an_import_stay_as_they_are(message):
    assert opencv.explain(message) is None


def test_the_front_page_names_the_packages():
    page = (ROOT / "README.md").read_text()
    linked = ("libGL.so.1", "libglib-2.0.so.0", "libxcb.so.1")
    assert all(opencv.PACKAGES[name] in page for name in linked)
