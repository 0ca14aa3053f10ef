"""``python -m tasks.salient.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.sample import SampleFlags, new_folder
from tasks.salient.sample import EDGE_PICTURES, TEST_PICTURES, TRAIN_PICTURES, write


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated saliency data set."""

    train: int = TRAIN_PICTURES
    """Training pictures."""
    test: int = TEST_PICTURES
    """Held-out pictures."""
    edge: int = EDGE_PICTURES
    """Pictures with outlines, for the edge branch."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.salient.sample")
    write(folder, config.seed, config.train, config.test, config.edge)
    print(
        f"{folder}: {config.train} training, {config.test} held-out and {config.edge} edge "
        "pictures in DUTS's layout"
    )


if __name__ == "__main__":
    run(main)
