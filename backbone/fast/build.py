"""``python -m backbone.fast.build``: builds the kernel for this machine, once."""

from pathlib import Path

import torch

from backbone.fast import cpu
from backbone.fast.deployed import require_compiler


def main() -> None:
    """Build it if it is not there, and print where it is."""
    if not cpu.supported(torch.float32):
        print("this machine does not use the kernel, which needs Linux and AVX2 or AVX-512")
        return
    try:
        require_compiler(torch.device("cpu"))
    except RuntimeError as error:
        print(f"the kernel is not built, and plain layers serve: {error}")
        return
    built: Path = cpu.place(cpu.LIBRARY, cpu.lanes())[0]
    cpu.library(cpu.LIBRARY, cpu.lanes())
    print(built)


if __name__ == "__main__":
    main()
