"""``python -m tasks.classification.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.errors import UserError
from common.sample import SampleFlags, new_folder
from tasks.classification.sample import TRAIN_PICTURES, VAL_PICTURES, write
from tasks.classification.sample.painting import CLASSES


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated classification data set."""

    train: int = TRAIN_PICTURES
    """Training pictures of all ten classes together."""
    val: int = VAL_PICTURES
    """Held-out pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag, count in (("train", self.train), ("val", self.val)):
            if count < len(CLASSES):
                raise UserError(
                    f"--{flag} {count}: must be at least {len(CLASSES)}, one picture per class"
                )


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.classification.sample")
    write(folder, config.seed, config.train, config.val)
    print(
        f"{folder}: {config.train} training and {config.val} held-out pictures of "
        f"{len(CLASSES)} classes in a folder each"
    )


if __name__ == "__main__":
    run(main)
