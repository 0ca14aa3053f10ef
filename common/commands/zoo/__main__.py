"""List the published models, show one, accept its licence, or pin a file that was fetched by hand.

python -m common.commands.zoo                         # the table
python -m common.commands.zoo NAME                    # the whole card
python -m common.commands.zoo NAME --accept_licence   # and fetch it, where a name suffices
python -m common.commands.zoo NAME --pin FILE         # let the name stand for this file
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from backbone import WEIGHTS
from common.commands import command
from common.commands.zoo import card, fetch, page
from common.commands.zoo.card import Card
from common.errors import UserError

_BACKBONES = "python -m backbone.table --weights lists the published weights of backbones alone"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the flags, and print what they ask for.

    Raises:
        UserError, WeightsError: there is no such model, or its file cannot be had.
    """
    parser = argparse.ArgumentParser(prog="python -m common.commands.zoo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", nargs="?", help="of a published model")
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument(
        "--accept_licence", action="store_true", help="accept it and fetch the file"
    )
    wanted.add_argument(
        "--pin", type=Path, metavar="FILE", help="the file that the name stands for"
    )
    wanted.add_argument("--page", action="store_true", help="print docs/zoo.md, without a NAME")
    print(_answer(parser.parse_args(arguments)))


def _answer(given: argparse.Namespace) -> str:
    if given.name is None:
        if given.pin or given.accept_licence:
            raise UserError("name a published model: python -m common.commands.zoo NAME")
        cards = card.every()
        return page.page(cards) if given.page else f"{page.table(cards)}\n\n{_BACKBONES}"
    if given.page:
        raise UserError(f"--page prints the page of all models; leave out {given.name}")
    found = card.find(given.name)
    if found is None and given.name in WEIGHTS:
        raise UserError(f"{given.name}: weights of a backbone, for --weights; {_BACKBONES}")
    if found is None:
        raise UserError(f"{given.name}: no published model, {card.close(given.name)}")
    if given.pin is not None:
        digest = fetch.pin(found, given.pin)
        return f"{found.name}: stands for {given.pin}, sha256 {digest}"
    return _with_file(found) if given.accept_licence else page.whole(found, fetch.kept(found))


def _with_file(found: Card) -> str:
    """The card, after its file was fetched."""
    print(page.whole(found), file=sys.stderr)
    return f"{found.name}: {fetch.file_of(found, accepted=True)}"


if __name__ == "__main__":
    command.run(main)
