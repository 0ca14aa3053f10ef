"""``python -m tasks.depth.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.sample import SampleFlags, new_folder
from tasks.depth.sample import TRAIN_PICTURES, VAL_PICTURES, write


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated depth data set."""

    train: int = TRAIN_PICTURES
    """Training pictures."""
    val: int = VAL_PICTURES
    """Held-out pictures, and as many of another camera."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.depth.sample")
    write(folder, config.seed, config.train, config.val)
    print(
        f"{folder}: {config.train} training and {config.val} held-out pictures in the layout of "
        "BTS's lists"
    )


if __name__ == "__main__":
    run(main)
