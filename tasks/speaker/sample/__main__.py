"""``python -m tasks.speaker.sample OUT``: write the generated data set into a new folder."""

from dataclasses import dataclass

from common.commands.command import run
from common.commands.config import parse
from common.errors import UserError
from common.sample import SampleFlags, new_folder
from tasks.speaker.sample import TEST_SPEAKERS, TRAIN_SPEAKERS, write


@dataclass(frozen=True, kw_only=True)
class SampleConfig(SampleFlags):
    """Write the generated speaker data set."""

    train: int = TRAIN_SPEAKERS
    """Training speakers, with eight utterances each."""
    test: int = TEST_SPEAKERS
    """Speakers of the trials."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train < 2 or self.test < 2:
            raise UserError("--train and --test: take at least 2 speakers each")


def main() -> None:
    """Command."""
    config = parse(SampleConfig, positional="out")
    folder = new_folder(config.out, "python -m tasks.speaker.sample")
    write(folder, config.seed, config.train, config.test)
    print(
        f"{folder}: {config.train} training and {config.test} test speakers in VoxCeleb's layout, "
        "with musan/ and rirs/ for --data.noise and --data.rooms"
    )


if __name__ == "__main__":
    run(main)
