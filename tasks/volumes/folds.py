"""``python -m tasks.volumes.folds RUN... --out DIR``: the scores of a cross-validation.

Takes the run of each fold, each scored by `evaluate`, and writes folds.json: of every score the
mean and the standard deviation over the folds. Runs under different protocols, and a case that two
runs have scored, are refused.
"""

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import outputs
from common.commands import card, command
from common.commands.card import UNDECIDED, Card
from common.commands.config import parse
from common.errors import UserError
from tasks.volumes.nifti import RESEARCH


@dataclass(frozen=True, kw_only=True)
class FoldsConfig:
    """Average the scores of the runs of a cross-validation."""

    runs: tuple[Path, ...] = ()
    """Run directories, one for each fold: the words that belong to no flag."""
    out: Path = Path("runs/folds")
    """Folder of folds.json."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise UserError(f"name the runs of at least two folds, found {len(self.runs)}")


def main() -> None:
    """Read the flags, and write and print the means."""
    config = parse(FoldsConfig, positional="runs")
    cards = [card.read(run / "metrics.json") for run in config.runs]
    cases = [cases_of(run) for run in config.runs]
    content = averaged(config.runs, cards, cases)
    with outputs.written(config.out):
        outputs.write_text(config.out / "folds.json", json.dumps(content, indent=1) + "\n")
    print(f"{len(cards)} folds, {content['cases']} cases")
    for name, one in content["metrics"].items():
        print(f"{name:24} {one['mean']:10.4f} +- {one['deviation']:.4f}")
    print(f"wrote {config.out}/folds.json; {RESEARCH.lower()}")


def cases_of(run: Path) -> set[str]:
    """The cases that a run has scored.

    Raises:
        UserError: it has no list of them.
    """
    file = run / "cases.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    except OSError:
        raise UserError(f"{file}: no such file; run tasks.volumes.evaluate first") from None
    if not rows or "case" not in rows[0]:
        raise UserError(f"{file}: is not a list of cases; run tasks.volumes.evaluate again")
    return {row["case"] for row in rows}


def averaged(
    runs: Sequence[Path], cards: Sequence[Card], cases: Sequence[set[str]]
) -> dict[str, Any]:
    """Mean and standard deviation of each score over the folds, of those that decide it.

    Raises:
        UserError: the runs are of another task, differ in protocol, or share a case.
    """
    first = _comparable(cards[0])
    for run, one in zip(runs, cards, strict=True):
        if one.task != "volumes":
            raise UserError(f"{run}: is a run of {one.task}, not of volumes")
        found = _comparable(one)
        odd = [key for key in first.keys() | found.keys() if first.get(key) != found.get(key)]
        if odd:
            raise UserError(
                f"{run}: was scored otherwise than {runs[0]} ({', '.join(sorted(odd))}); evaluate "
                "both alike"
            )
    owner: dict[str, Path] = {}
    for run, names in zip(runs, cases, strict=True):
        for name in sorted(names):
            if name in owner:
                raise UserError(f"{run}: has scored {name}, as {owner[name]} has; are they folds?")
            owner[name] = run
    return {
        "note": RESEARCH,
        "runs": [str(run) for run in runs],
        "cases": len(owner),
        "protocol": first,
        "metrics": {name: _spread(cards, name) for name in cards[0].metrics},
    }


def _comparable(one: Card) -> dict[str, Any]:
    """What has to be the same in all folds."""
    return {key: value for key, value in one.protocol.items() if key != "fold"}


def _spread(cards: Sequence[Card], name: str) -> dict[str, Any]:
    values = [one.metrics[name] for one in cards if one.metrics.get(name, UNDECIDED) != UNDECIDED]
    return {
        "mean": statistics.fmean(values) if values else UNDECIDED,
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "folds": values,
    }


if __name__ == "__main__":
    command.run(main)
