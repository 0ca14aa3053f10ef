"""``python -m tasks.reid.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.errors import UserError
from common.sample import SampleFlags, new_folder
from tasks.reid.sample import TEST_PERSONS, TRAIN_PERSONS, write
from tasks.reid.sample.camera import CAMERAS


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated re-identification data set."""

    train: int = TRAIN_PERSONS
    """Persons to learn."""
    test: int = TEST_PERSONS
    """Other persons, to find again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag, most in (("train", 5000), ("test", 4999)):
            if not 0 <= getattr(self, flag) <= most:
                raise UserError(f"--{flag} {getattr(self, flag)}: must be from 0 to {most}")


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.reid.sample")
    write(folder, config.seed, config.train, config.test)
    print(
        f"{folder}: {config.train} persons to learn and {config.test} to find again, each seen "
        f"by {len(CAMERAS)} cameras, in Market-1501's layout"
    )


if __name__ == "__main__":
    run(main)
