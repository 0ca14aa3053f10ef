"""Compare networks with recorded outputs of their authors' own code.

    python -m benchmarks.golden FILE

FILE is JSON: for each name of a network `shapes` (name of a tensor -> its shape, under the names of
the authors' code), `outputs` (of each its `shape`, `norm` and `sample`) and optionally `scale` and
`override` (see `compare.weights_of`), and for detectors `detections` and the like. Every network
gets weights that depend on names and shapes alone, translated as a published file would be. One
line for each; the exit status is 1 if one falls short, and 2 if a name is unknown or
FILE holds no networks.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.golden import detection, interactive, poolnet, pose, salient, speaker
from benchmarks.golden.compare import weights_of

MODULES: tuple[Any, ...] = (detection, interactive, poolnet, pose, salient, speaker)
"""Each serves the networks in its `RECIPES`."""


def line(name: str, entry: Mapping[str, Any]) -> tuple[int, str]:
    """The exit status that a network leads to, and its line."""
    module = next((one for one in MODULES if name in one.RECIPES), None)
    if module is None:
        return 2, "unknown"
    try:
        with torch.no_grad():
            found = module.outcome(name, entry, weights_of(entry))
    except KeyError as error:
        return 1, f"FAILED: the entry has no {error}"
    except (ValueError, RuntimeError) as error:
        return 1, f"FAILED: {str(error).partition(chr(10))[0]}"
    except (TypeError, AttributeError, re.error) as error:
        return 1, f"FAILED: the entry is of another form than --help says ({error})"
    return (0 if found.passed else 1), f"{'equal' if found.passed else 'DIFFERS'}: {found.text}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, metavar="FILE", help="recorded outputs, in JSON")
    given = parser.parse_args(arguments)
    try:
        entries = json.loads(given.file.read_text())
    except (OSError, ValueError) as error:
        parser.error(f"{given.file}: cannot be read as JSON ({error})")
    if not isinstance(entries, dict) or not entries:
        parser.error(f"{given.file}: holds no networks; needed: an object with one entry for each")
    worst = 0
    for name, entry in entries.items():
        status, text = line(name, entry)
        worst = max(worst, status)
        print(f"{name:40} {text}", flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
