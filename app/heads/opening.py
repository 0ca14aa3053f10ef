"""From the words of the command line to heads."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.heads.head import Head, kind_of
from app.settings import AppConfig
from common.commands import zoo
from tasks import open_run, task_of

VOICES, PERSONS, CLICKS, VOLUMES = "speaker", "reid", "interactive", "volumes"


class Heads(NamedTuple):
    """The loaded runs."""

    pictures: tuple[Head, ...]
    """In the order in which they are asked: a detector before what needs its boxes."""
    voices: tuple[Head, ...]
    persons: tuple[Head, ...]
    clicks: tuple[Head, ...]
    volumes: tuple[Head, ...]


def opened(config: AppConfig) -> Heads:
    """All runs that the flags name.

    Raises:
        UserError: one cannot be opened.
    """
    found: list[Head] = []
    for source in config.runs:
        found.append(_opened(source, config, [one.name for one in found]))
    found.sort(key=lambda one: one.task == "pose")
    return Heads(
        tuple(one for one in found if one.task not in (VOICES, PERSONS, CLICKS, VOLUMES)),
        tuple(one for one in found if one.task == VOICES),
        tuple(one for one in found if one.task == PERSONS),
        tuple(one for one in found if one.task == CLICKS),
        tuple(one for one in found if one.task == VOLUMES),
    )


def runs_in(folder: Path) -> tuple[str, ...]:
    """The run directories directly in a folder: those that have a best.pt."""
    return tuple(sorted(str(file.parent) for file in folder.glob("*/best.pt")))


def _opened(source: str, config: AppConfig, taken: Sequence[str]) -> Head:
    card, task = zoo.named(source), _task_of(source)
    kind = kind_of(task)
    accept = ("--accept_licence", "true") if config.accept_licence else ()
    # Absolute, because the server will stand elsewhere when a predictor reads more of its run.
    run = source if card else Path(source).resolve()
    flags = (*kind.FLAGS, *accept, "--backend", config.backend)
    predictor = open_run(run, device=config.device, flags=flags)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", card.name if card else Path(source).resolve().name)
    names = [name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))]
    return kind(task, next(one for one in names if one not in taken), source, predictor)


def _task_of(source: str) -> str:
    card = zoo.named(source)
    return card.task if card else task_of(Path(source))
