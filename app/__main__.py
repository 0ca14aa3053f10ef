"""``python -m app RUN...``: a page in the browser with the answers of trained models.

RUN are run directories and names of published models. Without any, the runs below `runs/` are
taken.
"""

import sys
from dataclasses import replace
from pathlib import Path

from app.heads import opening
from app.settings import AppConfig
from common.commands import command
from common.commands import config as configuration
from common.errors import UserError

RUNS = Path("runs")


def main() -> None:
    """Read the flags, open the runs, and answer requests."""
    words = [word for word in sys.argv[1:] if word != "--runs"]
    config = configuration.parse(AppConfig, words, positional="runs")
    try:
        from app import serving
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; say pip install -e '.[app]'") from error
    config = replace(config, runs=config.runs or opening.runs_in(RUNS))
    serving.serve(opening.opened(config), config)


if __name__ == "__main__":
    command.run(main)
