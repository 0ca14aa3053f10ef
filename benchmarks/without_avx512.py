"""Run a command as on a processor that has AVX2 and nothing wider.

    python -m benchmarks.without_avx512 -m benchmarks.backbone --batch 1

runs `python -m benchmarks.backbone --batch 1` so that every library in it, onnxruntime and oneDNN
too, finds no AVX-512 and no AMX: each asks the CPUID instruction, whose answers
`without_avx512.c` changes. So the code that runs is what a processor with AVX2 runs; the clock, the
caches and the execution units are still this one's. For Linux on Intel's processors with CPUID
faulting, and a C compiler. What is compiled goes into a cache folder of its own, because the
compiler's cache of PyTorch does not tell processors apart.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
CACHE = Path(tempfile.gettempdir()) / f"res2net_without_avx512_{os.getuid()}"


def environment() -> dict[str, str]:
    """The variables of a process that finds AVX2 alone.

    Raises:
        RuntimeError: there is no C compiler, or it failed, or the cache folder is another user's.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("no C compiler (cc, gcc or clang) is installed")
    CACHE.mkdir(mode=0o700, exist_ok=True)
    if CACHE.stat().st_uid != os.getuid():  # code is loaded from it
        raise RuntimeError(f"{CACHE}: belongs to another user; name another folder in TMPDIR")
    library = CACHE / "without_avx512.so"
    command = [compiler, "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{compiler} failed on {SOURCE.name}:\n{done.stderr}")
    folder = str(CACHE / "compiled")
    return {**os.environ, "LD_PRELOAD": str(library), "TORCHINDUCTOR_CACHE_DIR": folder}


def main(words: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    try:
        variables = environment()
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return subprocess.run([sys.executable, *words], env=variables).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
