"""List the published models, show one, accept its licence, or pin a file that was fetched by hand.

python -m common.zoo                         # the table
python -m common.zoo NAME                    # the whole card
python -m common.zoo NAME --accept_licence   # and fetch it, where that is possible by name
python -m common.zoo NAME --pin FILE         # let the name stand for this file
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from backbone import WEIGHTS
from backbone.errors import WeightsError
from common.errors import UserError
from common.zoo import card, fetch, page
from common.zoo.card import Card

_BACKBONES = "python -m backbone.table --weights lists the published weights of backbones alone"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m common.zoo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", nargs="?", help="of a published model")
    parser.add_argument(
        "--accept_licence", action="store_true", help="accept it and fetch the file"
    )
    parser.add_argument(
        "--pin", type=Path, metavar="FILE", help="the file that the name stands for"
    )
    parser.add_argument("--page", action="store_true", help="print docs/zoo.md")
    given = parser.parse_args(arguments)
    try:
        print(_answer(given))
        sys.stdout.flush()
    except (UserError, WeightsError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as in `| head`; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except PermissionError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _answer(given: argparse.Namespace) -> str:
    if given.name is None:
        if given.pin or given.accept_licence:
            raise UserError("name a published model: python -m common.zoo NAME")
        cards = [card.read(card.CARDS / f"{name}.yaml") for name in card.names()]
        return page.page(cards) if given.page else f"{page.table(cards)}\n\n{_BACKBONES}"
    known = given.name in card.names()  # whatever lies here under that name
    found = card.read(card.CARDS / f"{given.name}.yaml") if known else None
    if found is None and given.name in WEIGHTS:
        raise UserError(f"{given.name}: weights of a backbone, for --weights; {_BACKBONES}")
    if found is None:
        raise UserError(f"{given.name}: no published model, {card.close(given.name)}")
    if given.pin is not None:
        digest = fetch.pin(found, given.pin)
        return f"{found.name}: stands for {given.pin}, sha256 {digest}"
    return _with_file(found) if given.accept_licence else page.whole(found)


def _with_file(found: Card) -> str:
    """The card, after its file was fetched."""
    print(page.whole(found), file=sys.stderr)
    return f"{found.name}: {fetch.file_of(found, accepted=True)}"


if __name__ == "__main__":
    sys.exit(main())
