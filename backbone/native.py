"""Kernels in C++, built on the machine where they run.

Needed are Linux, a processor with AVX-512 and the C++ compiler that `torch.compile` uses. What is
built lies in torch.compile's own cache folder (`TORCHINDUCTOR_CACHE_DIR`).
"""

import ctypes
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SOURCES = Path(__file__).parent / "kernels"
FLAGS = [
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-fopenmp"),
    *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
]


def supported(dtype: torch.dtype) -> bool:
    """Whether this machine multiplies this type in vectors of 512 bits."""
    if not sys.platform.startswith("linux") or not torch.cpu._is_avx512_supported():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and _multiplies_bfloat16())


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """The library made of `kernels/<name>.cpp`, built if it was not.

    Raises:
        RuntimeError: there is no compiler, or it failed.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    command = [get_cpp_compiler(), *FLAGS, *(["-mavx512bf16"] if _multiplies_bfloat16() else [])]
    version = subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout
    files = b"".join(file.read_bytes() for file in sorted(SOURCES.iterdir()) if file.is_file())
    key = hashlib.sha256(files + version + " ".join(command).encode()).hexdigest()[:16]
    folder = Path(cache_dir()) / "res2net"
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / f"{name}-{key}.so"
    if not built.exists():
        # Another process may build the same: whoever is last replaces what is equal.
        handle, unfinished = tempfile.mkstemp(dir=folder, suffix=".so")
        os.close(handle)
        command += [str(SOURCES / f"{name}.cpp"), "-o", unfinished]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            os.unlink(unfinished)
            raise RuntimeError(f"compile: {command[0]} failed on {name}.cpp:\n{done.stderr}")
        os.replace(unfinished, built)
    return ctypes.CDLL(str(built))


def _multiplies_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()
