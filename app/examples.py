"""Generated pictures that no training has seen, for who has none at hand."""

import importlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from app.heads.head import Head

EACH = 2
"""Pictures of each task."""
_GENERATED = 10
"""That are painted for it: classification's sample has a picture of each of its classes."""


def write(folder: Path, heads: Iterable[Head]) -> list[Path]:
    """Write examples of the tasks of these heads into a folder; returns their paths."""
    folder.mkdir()
    found = []
    for task in dict.fromkeys(one.task for one in heads):
        generate = importlib.import_module(f"tasks.{task}.predict").generate
        with TemporaryDirectory(dir=folder) as place:
            for number, file in enumerate(generate(Path(place), _GENERATED)[:EACH], start=1):
                target = folder / f"{task}_{number}{file.suffix}"
                shutil.move(file, target)
                found.append(target)
    return found
