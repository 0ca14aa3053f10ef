"""``python -m common.commands.results RUN... --out results/pose.md``: result cards as tables.

Scores under different protocols, on different data or of different tasks never share a column: each
protocol gets a table of its own, under a heading that spells it out.
"""

import dataclasses
import json
from pathlib import Path

from common import outputs
from common.commands import card, command, config
from common.commands.card import Card
from common.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultsConfig:
    """Write the result cards of runs as Markdown tables, one per protocol."""

    runs: tuple[Path, ...] = ()
    """Run directories (each with a metrics.json) or card files."""
    out: Path | None = None
    """The Markdown file to write; printed when unset."""


def tables(cards: dict[str, Card]) -> str:
    """Markdown tables of named cards, grouped by what makes their scores comparable."""
    groups: dict[str, list[tuple[str, Card]]] = {}
    for name, one in cards.items():
        groups.setdefault(_heading(one), []).append((name, one))
    return "\n\n".join(_table(heading, rows) for heading, rows in groups.items()) + "\n"


def main() -> None:
    """Read the cards and write the tables."""
    settings = config.parse(ResultsConfig, positional="runs")
    if not settings.runs:
        raise UserError("no run directory given; say python -m common.commands.results RUN...")
    files = [run / "metrics.json" if run.is_dir() else run for run in settings.runs]
    cards = {str(run): card.read(file) for run, file in zip(settings.runs, files, strict=True)}
    text = tables(cards)
    if settings.out is None:
        print(text)
        return
    outputs.make_folder(settings.out.parent)
    outputs.write_text(settings.out, text)
    print(f"wrote {settings.out}")


def _heading(one: Card) -> str:
    scored = {name: one.data.get(name) for name in ("split", "images", "fingerprint")}
    if one.data.get("skipped"):
        scored["skipped"] = one.data["skipped"]  # what could not be read is not scored
    return (
        f"## {one.task}: {json.dumps(one.protocol, sort_keys=True)}\n\n"
        f"Data: {json.dumps(scored)}; metrics: {', '.join(one.metrics)}"
    )


def _table(heading: str, rows: list[tuple[str, Card]]) -> str:
    names = list(rows[0][1].metrics)
    lines = ["| run | backbone | parameters | weights | " + " | ".join(names) + " |"]
    lines.append("|" + " --- |" * (4 + len(names)))
    for name, one in rows:
        model = one.model
        about = [
            name,
            model.get("backbone"),
            f"{model.get('parameters', 0):,}",
            model.get("weights"),
        ]
        scores = [f"{one.metrics[metric]:.4f}" for metric in names]
        lines.append("| " + " | ".join(str(cell) for cell in [*about, *scores]) + " |")
    return heading + "\n\n" + "\n".join(lines)


if __name__ == "__main__":
    command.run(main)
