"""OpenCV needs libraries of the system that slim containers lack; one line says which.

It is imported before all else that a command needs, so that this shows here and nowhere else.
"""

import re
import sys

PACKAGES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libz.so.1": "zlib1g",
    "libstdc++.so.6": "libstdc++6",
}
"""Debian's package of each library that builds of OpenCV have been seen to need."""

_LIBRARY = re.compile(r"(lib[^\s/:]+\.so[.\d]*)")


def require() -> None:
    """Import OpenCV. In a command, a missing library is one line and exit status 2.

    Raises:
        ImportError: elsewhere; its message is that line where the system lacks a library.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        line = explain(str(error))
        if line is None:
            raise
        # So Python calls a program while it looks for the module that -m names.
        if sys.argv[:1] == ["-m"]:
            print(f"error: {line}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(line) from error


def explain(message: str) -> str | None:
    """The line for what the system's loader says; None if it does not lack a library."""
    library = _LIBRARY.search(message)
    lacking = "cannot open shared object file" in message or "loading shared library" in message
    if library is None or not lacking:
        return None
    name = library[1]
    package = PACKAGES.get(name, f"PACKAGE, as `apt-file search {name}` names it")
    return (
        f"{name}: OpenCV needs this library, and the system does not have it; on Debian and "
        f"Ubuntu: apt-get install {package}"
    )
