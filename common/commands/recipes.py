"""The packaged recipes of a task: YAML files in its folder `configs`, found by name."""

import difflib
import sys
from pathlib import Path

from common.errors import UserError


def folder_of(kind: type) -> Path:
    """Where the recipes of a config class lie: `configs` beside the module that defines it."""
    file = getattr(sys.modules[kind.__module__], "__file__", None)
    return Path(file or ".").parent / "configs"


def names(folder: Path) -> list[str]:
    """The names of the recipes in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find(kind: type, given: str) -> str:
    """The file that --config names: a path that exists, or else the recipe of that name.

    Raises:
        UserError: a bare name that is neither; the message lists near ones.
    """
    path = Path(given)
    bare = path.name == given and not path.suffix
    if path.exists() or not bare:
        return given
    folder = folder_of(kind)
    recipe = folder / f"{given}.yaml"
    if recipe.is_file():
        return str(recipe)
    there = names(folder)
    near = difflib.get_close_matches(given, there, n=3, cutoff=0.4) or there
    listed = f"; recipes are {', '.join(near)}" if near else ""
    raise UserError(f"--config {given}: no such file and no recipe of that name{listed}")
