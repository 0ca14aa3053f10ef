"""``python -m tasks``: the tasks with their commands and recipes in one table."""

import importlib
from pathlib import Path

from common.commands import command, recipes
from tasks import TASKS

COMMANDS = ("check", "train", "evaluate", "predict", "export", "sample")
"""The commands that every task has, in the order in which they are used."""


def table() -> str:
    """One block per task: what it is, its commands, its recipes."""
    blocks = []
    for task in TASKS:
        kind = importlib.import_module(f"tasks.{task}.config").Config
        about = (kind.__doc__ or "").split(":")[0]
        folder = recipes.folder_of(kind)
        blocks.append(
            f"{task}: {about}\n"
            f"  python -m tasks.{task}.{{{','.join(_commands(folder.parent))}}}\n"
            f"  --config {_wrapped(recipes.names(folder))}"
        )
    return "\n\n".join(blocks)


def _commands(folder: Path) -> list[str]:
    """The commands of a task's folder: the common ones first, then its own."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))}
    own = [
        name
        for name, text in texts.items()
        if name not in COMMANDS and '__name__ == "__main__"' in text
    ]
    return [*COMMANDS, *own]


def _wrapped(names: list[str], width: int = 88) -> str:
    """Names separated by blanks, on lines of so many characters at most."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += f"{name} "
    return "\n           ".join(line.rstrip() for line in lines)


def main() -> None:
    """Print the table."""
    print(table())
    print("\nEvery command explains its flags: python -m tasks.pose.train --help")


if __name__ == "__main__":
    command.run(main)
