"""The tasks, each in a folder of the same shape, and the door to any run of any of them."""

import dataclasses
import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_type_hints

# Before the first import of torch, which brings the library that reads it: a thread of a network
# that waits for another one looks that many times, some microseconds, and then leaves its core to
# others. By default it looks 300,000 times, while what reads and writes pictures stands still.
if not (os.environ.get("GOMP_SPINCOUNT") or os.environ.get("OMP_WAIT_POLICY")):
    os.environ["GOMP_SPINCOUNT"] = "1000"

import yaml

from backbone.errors import WeightsError
from common.commands import zoo
from common.errors import UserError

TASKS = tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/inference.py")))
"""Names of the tasks."""


def open_run(
    source: str | Path,
    *,
    checkpoint: str = "best",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["fp32", "bf16"] = "fp32",
    compile: bool = False,
    flags: Sequence[str] = (),
) -> Any:
    """A run of any task, ready to be asked.

        predictor = open_run("runs/salient")
        found = predictor(picture)           # uint8 RGB (H, W, 3), or a path
        predictor.draw(picture, found)       # uint8 RGB: what `predict` writes
        predictor.describe(found)            # plain dicts and lists, as in predict's JSON

    Args:
        source: run directory, or the name of a published model.
        checkpoint: best or last of the run, or a file.
        device: where the model runs; auto takes a GPU where there is one.
        precision: of the forward pass.
        compile: compile the network at its first call: a minute or so, then faster.
        flags: further ones, as on the command line of evaluate, such as ("--test.flip", "true").

    Returns:
        The `Predictor` of the run's task, of `tasks.<task>.inference`.

    Raises:
        UserError: there is no such run, it is of no known task, its checkpoint is missing or
            damaged, or a flag is wrong.
    """
    card = zoo.named(source)
    try:
        task = card.task if card else task_of(Path(source))
    except OSError as error:  # of a text that is no path
        raise UserError(f"{source}: {error.strerror}") from error
    predictor = importlib.import_module(f"tasks.{task}.inference").Predictor
    try:
        return predictor.open(
            source,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            compile=compile,
            flags=flags,
        )
    except WeightsError as error:  # programs catch one kind, as commands print one line
        raise UserError(str(error)) from error


def task_of(run: Path) -> str:
    """The task of a run: the one whose settings are those of its config.yaml.

    Raises:
        UserError: it is not a run, or of no known task.
    """
    file = run / "config.yaml"
    if not file.is_file():
        found = "has no config.yaml" if run.is_dir() else "no such folder"
        found = "is a file" if run.is_file() else found
        raise UserError(
            f"{run}: {found}; give the folder that train wrote, or the name of a published model, "
            f"{zoo.close(run)}"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: is not YAML; is this a run directory?") from error
    for task in TASKS:
        config = importlib.import_module(f"tasks.{task}.config").Config
        if isinstance(content, dict) and content and _fits(content, config):
            return task
    raise UserError(f"{file}: is of no known task ({', '.join(TASKS)})")


def _fits(content: Mapping[str, Any], kind: type) -> bool:
    """Whether a config class has all keys of a file."""
    hints = get_type_hints(kind)
    for key, value in content.items():
        if key not in hints:
            return False
        section = isinstance(value, dict) and dataclasses.is_dataclass(hints[key])
        if section and not _fits(value, hints[key]):
            return False
    return True
