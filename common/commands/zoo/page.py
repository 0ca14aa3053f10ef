"""The published models as text: one line each, a whole card, and the page docs/zoo.md."""

from collections.abc import Sequence
from pathlib import Path

from common.commands.zoo.card import Card

_LINE = "{:42} {:13} {:>6}  {:8} {}"

_HEAD = """# Published models

Models on a Res2Net that others trained and published. They are not ours: each has its own licence,
and the scores here are those that their publishers state, never measured by us. Every network was
compared with recorded outputs of its authors' own code, where the table says "golden"; the
published files themselves were not seen by this project.

    python -m common.commands.zoo                                  # this table
    python -m common.commands.zoo mask_rcnn_res2net101.coco_mmdet  # one card
    python -m common.commands.zoo mask_rcnn_res2net101.coco_mmdet --accept_licence  # fetched
    python -m tasks.detection.predict --run mask_rcnn_res2net101.coco_mmdet photos/ --out drawn

`--run NAME` takes a published model wherever it takes a run directory (evaluate, predict, export,
`open_run`), `--finetune NAME` starts a training from it, and `--weights NAME` gives its trunk to
any task. "By name" means that the file is fetched when the name is first used, and that its hash is
checked. Weights that are not stated to be free for every use are fetched after
`--accept_licence`, once; `evaluate`, `predict` and `export` take that flag too. "By hand" means
that nobody publishes a hash: fetch the file yourself and give it as `--checkpoint FILE`, whose
digest is then printed, or let the name stand for it with
`python -m common.commands.zoo NAME --pin FILE`.

Weights of backbones alone, trained on ImageNet: `python -m backbone.table --weights`.

This page is written by `python -m common.commands.zoo --page`.
"""


def how(card: Card) -> str:
    """Whether the file is fetched by the model's name."""
    return "by name" if card.by_name else "by hand"


def table(cards: Sequence[Card]) -> str:
    """One line for each model."""
    lines = [_LINE.format("name", "task", "MB", "file", "score as published")]
    lines += [
        _LINE.format(card.name, card.task, card.megabytes, how(card), card.score) for card in cards
    ]
    return "\n".join(lines)


def whole(card: Card, kept: Path | None = None) -> str:
    """All that is known of a model, and where its file is kept on this machine."""
    where = "\n".join(f"            {place}" for place in (*card.urls, card.page) if place)
    lines = [
        f"{card.name}: {card.title}",
        f"meant for   {card.intended}",
        f"score       {card.score}, as published",
        f"protocol    {card.protocol}",
        f"source      {card.source}",
        f"file        {card.file or 'name not stated'}, about {card.megabytes} MB, {how(card)}",
        where,
        f"kept        {kept}" if kept else "",
        f"sha256      {card.sha256 or 'not published'}",
        f"code        {card.code_licence}",
        f"weights     {card.weights_licence}",
        f"recipe      --config {card.recipe}, backbone {card.backbone}",
        f"compared    {_compared(card)}",
        f"try it      {card.command}",
    ]
    return "\n".join(line for line in lines if line.strip())


def page(cards: Sequence[Card]) -> str:
    """The page of all models, in Markdown."""
    tasks = sorted({card.task for card in cards})
    parts = [_HEAD]
    for task in tasks:
        own = [card for card in cards if card.task == task]
        rows = [
            f"| `{card.name}` | {card.title} | {card.score} | {card.megabytes} | {how(card)} | "
            f"{'yes' if card.golden else 'no'} |"
            for card in own
        ]
        head = "| name | what | score as published | MB | file | golden |\n" + "| --- " * 6 + "|"
        parts.append(f"## {task}\n\n{head}\n" + "\n".join(rows) + "\n")
        parts += [_section(card) for card in own]
    return "\n".join(parts)


def _section(card: Card) -> str:
    places = ", ".join(f"<{place}>" for place in (*card.urls, card.page) if place)
    return (
        f"### {card.name}\n\n"
        f"{card.title}. {card.intended}\n\n"
        f"    {card.command}\n\n"
        f"- Score: {card.score}. {card.protocol} Source: {card.source}.\n"
        f"- File: {card.file or 'name not stated'}, {places}; sha256 "
        f"{f'begins with {card.sha256}' if card.sha256 else 'not published'}.\n"
        f"- Licence of the code: {card.code_licence}. Of the weights: {card.weights_licence}.\n"
        f"- Recipe: `--config {card.recipe}`, backbone `{card.backbone}`; {_compared(card)}.\n"
    )


def _compared(card: Card) -> str:
    if card.golden is None:
        return "no outputs of its authors' code were recorded"
    return (
        f"the network equals its authors' code on recorded outputs ({card.golden}), weights unseen"
    )
