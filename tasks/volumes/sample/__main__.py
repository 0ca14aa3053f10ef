"""``python -m tasks.volumes.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.sample import SampleFlags, new_folder
from tasks.volumes.sample import CASES, write


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated set of volumes."""

    cases: int = CASES
    """Bodies, which folds part into those to learn and those that are held out."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.volumes.sample")
    write(folder, config.seed, config.cases)
    print(f"{folder}: {config.cases} generated cases in the layout of the Decathlon")


if __name__ == "__main__":
    run(main)
