"""``python -m backbone.fast.build``: makes a library of the kernel for this machine, once.

One source serves every width of vectors; bf16 needs AVX-512's instructions for it. Needed are Linux
and a C++ compiler: the one that `CXX` names, else g++ or clang++. What is built lies where
`torch.compile` keeps its own (`TORCHINDUCTOR_CACHE_DIR`), else in the folder for temporary files.
Neither is asked of `torch.compile` itself, whose import takes seconds.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SOURCES = Path(__file__).parent / "kernels"
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-shared", "-fPIC", "-fopenmp"]
WIDTHS = {
    16: ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
    8: ("-mavx2", "-mfma"),
    4: (),
}
"""Floats of a vector, and what tells compilers that the machine has such."""
LIBRARY = "one_pass"


def lanes() -> int:
    """Floats of the widest vectors that PyTorch uses on this machine."""
    return {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 4)


def supported(dtype: torch.dtype) -> bool:
    """Whether the kernel is used here: on vectors of 8 or more, where it was measured to be fast.

    With vectors of 4 it computes the same, as tests show.
    """
    if not sys.platform.startswith("linux") or lanes() < 8:
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and _multiplies_bfloat16())


@functools.cache
def built_already(width: int) -> bool:
    """Whether the kernel lies there; if not, a process that goes on by itself builds it.

    The answer stays the same within a process, so that a network is the same each time.
    """
    try:
        built = place(LIBRARY, width)[0]
    except RuntimeError as error:
        print(f"note: {error}; until then the plain layers serve", file=sys.stderr)
        return False
    if built.exists():
        return True
    _build_in_background()
    return False


def _build_in_background() -> None:
    """Start a process that builds the kernel and goes on when this one has ended."""
    subprocess.Popen(
        [sys.executable, "-m", "backbone.fast.build"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@functools.cache
def library(name: str, width: int) -> ctypes.CDLL:
    """The library made of `kernels/<name>.cpp` for vectors of this width, built if it was not.

    Raises:
        RuntimeError: there is no compiler, or it failed.
    """
    built, command = place(name, width)
    if not built.exists():
        # Another process may build the same: whoever is last replaces what is equal.
        handle, unfinished = tempfile.mkstemp(dir=built.parent, suffix=".so")
        os.close(handle)
        command += [str(SOURCES / f"{name}.cpp"), "-o", unfinished]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            os.unlink(unfinished)
            raise RuntimeError(f"compile: {command[0]} failed on {name}.cpp:\n{done.stderr}")
        os.replace(unfinished, built)
    return ctypes.CDLL(str(built))


def compiler() -> str | None:
    """The C++ compiler; None where there is none."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else ["g++", "clang++"])), None)


def place(name: str, width: int) -> tuple[Path, list[str]]:
    """Where a library lies or will lie, and how the command begins that builds it.

    Raises:
        RuntimeError: there is no compiler that answers, or no folder of this user's.
    """
    found = compiler()
    if found is None:
        raise RuntimeError("no C++ compiler was found; install g++ or clang++, or name one in CXX")
    command = [found, *FLAGS, f"-DLANES={width}", *WIDTHS[width]]
    if width == 16 and _multiplies_bfloat16():
        command.append("-mavx512bf16")
    asked = subprocess.run([found, "--version"], capture_output=True)
    if asked.returncode:
        raise RuntimeError(f"{found}: is no C++ compiler; install g++ or clang++, or mend CXX")
    files = b"".join(file.read_bytes() for file in sorted(SOURCES.iterdir()) if file.is_file())
    key = hashlib.sha256(files + asked.stdout + " ".join(command).encode()).hexdigest()[:16]
    return _folder() / f"{name}-{key}.so", command


def _folder() -> Path:
    """Where libraries are kept. Code is loaded from it, so nobody else may write there."""
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    base = Path(chosen or tempfile.gettempdir())
    folder = base / ("res2net" if chosen else f"res2net_{os.getuid()}")
    yours = "name a folder of your own in TORCHINDUCTOR_CACHE_DIR"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"{folder}: cannot be made ({error.strerror}); {yours}") from error
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder}: belongs to another user; {yours}")
    return folder


def _multiplies_bfloat16() -> bool:
    return lanes() == 16 and torch.cpu._is_avx512_bf16_supported()


def main() -> None:
    """Build it if it is not there, and print where it is."""
    if not supported(torch.float32):
        print("this machine does not use the kernel, which needs Linux and AVX2 or AVX-512")
        return
    try:
        built = place(LIBRARY, lanes())[0]
    except RuntimeError as error:
        print(f"the kernel is not built, and plain layers serve: {error}")
        return
    library(LIBRARY, lanes())
    print(built)


if __name__ == "__main__":
    main()
