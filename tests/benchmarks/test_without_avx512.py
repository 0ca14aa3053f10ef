"""A processor whose wider vectors are hidden from every library."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.without_avx512 import environment, main

FLAGS = Path("/proc/cpuinfo")
hides = pytest.mark.skipif(
    not FLAGS.is_file() or "cpuid_fault" not in FLAGS.read_text().split(),
    reason="this processor does not let its CPUID instruction be refused",
)


@hides
def test_pytorch_and_its_threads_find_no_avx512():
    script = (
        "import concurrent.futures, sys, torch\n"
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n"
        "    wide = pool.submit(torch.cpu._is_avx512_supported).result()\n"
        "sys.exit(7 if not wide and torch.backends.cpu.get_cpu_capability() != 'AVX512' else 1)"
    )
    assert main(["-c", script]) == 7


@hides
def test_a_real_fault_still_ends_the_program():
    words = [sys.executable, "-c", "import ctypes; ctypes.string_at(0)"]
    done = subprocess.run(words, env=environment(), capture_output=True)
    assert done.returncode == -signal.SIGSEGV


def test_without_a_compiler_it_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "PATH", "")
    assert main(["-c", "pass"]) == 2
    assert capsys.readouterr().err == "error: no C compiler (cc, gcc or clang) is installed\n"


def test_code_is_not_loaded_from_another_users_folder(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.without_avx512.CACHE", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert main(["-c", "pass"]) == 2
    assert f"error: {tmp_path}: belongs to another user" in capsys.readouterr().err
