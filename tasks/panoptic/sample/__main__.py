"""``python -m tasks.panoptic.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.sample import SampleFlags, new_folder
from tasks.panoptic.sample import TRAIN_PICTURES, VAL_PICTURES, write


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated panoptic data set."""

    train: int = TRAIN_PICTURES
    """Training pictures."""
    val: int = VAL_PICTURES
    """Held-out pictures."""


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.panoptic.sample")
    write(folder, config.seed, config.train, config.val)
    print(
        f"{folder}: {config.train} training and {config.val} held-out pictures in COCO's panoptic "
        "layout"
    )


if __name__ == "__main__":
    run(main)
