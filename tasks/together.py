"""Several runs on one picture: one pass of each trunk that they share, and every head's answer.

python -m tasks.together --runs runs/salient runs/segmentation runs/detection photos/ --out drawn

A head takes another run's features only where the trunks are the same and were given the same
input, number by number; so every answer is that of the run's own predict.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from backbone import Pyramid
from common import outputs
from common.commands import command, inputs, journal, predicting, trained, zoo
from common.commands.inputs import InputFlags, Source
from common.commands.journal import Entry
from common.commands.opened import Opened
from common.commands.predictor import Pass, TrunkInput
from common.commands.settings import TrainedFlags
from common.errors import UserError
from common.reading import image
from common.reading.image import Picture
from common.reading.left_out import OnError
from common.training import distributed
from common.training.distributed import World
from tasks import open_run

_LISTED = "together.json"


class Predictor(Protocol):
    """What has to be known of the predictor of a task that works on pictures."""

    opened: Opened[Any]

    @property
    def config(self) -> TrainedFlags:
        """Of the run."""
        ...

    @property
    def trunk_input(self) -> TrunkInput:
        """All that decides the trunk's features of a picture."""
        ...

    def features(self, picture: Picture, *, trunk: Pass | None = None) -> Any:
        """What the trunk makes of a picture."""
        ...

    def answer(self, features: Any) -> Any:
        """What the head makes of it."""
        ...

    def draw(self, picture: Picture, found: Any) -> Picture:
        """The picture with what was found."""
        ...

    def describe(self, found: Any) -> Any:
        """What was found, as plain dicts and lists."""
        ...


class Answers(NamedTuple):
    """What several runs say of one picture."""

    found: dict[str, Any]
    """By the name of the run, what its predictor gives."""
    passes: int
    """Of trunks, over all runs."""
    trunk_seconds: float
    """That these took together."""
    head_seconds: dict[str, float]
    """By the name of the run: preparing the picture, the head, and what follows it."""


class Together:
    """Asks several predictors about a picture, with one pass of each trunk that they share.

        together = Together({name: open_run(name) for name in ("runs/depth", "runs/detection")})
        answers = together(picture)
        answers.found["runs/depth"].depth

    Args:
        predictors: by any names, as `tasks.open_run` gives them.

    Raises:
        UserError: there is none, or one does not work on pictures.
    """

    def __init__(self, predictors: Mapping[str, Predictor]) -> None:
        if not predictors:
            raise UserError("no run is given; name one or more")
        for name, predictor in predictors.items():
            if not hasattr(predictor, "trunk_input"):
                raise UserError(
                    f"{name}: works on recordings or volumes, not on pictures; leave it out"
                )
        self.predictors = dict(predictors)
        self.trunk_inputs = {name: one.trunk_input for name, one in predictors.items()}

    def __call__(self, picture: Picture) -> Answers:
        """The answers of all runs to a picture (H, W, 3), uint8 RGB."""
        shared = _Shared()
        found: dict[str, Any] = {}
        seconds: dict[str, float] = {}
        for name, predictor in self.predictors.items():
            begun, before = time.perf_counter(), shared.seconds
            key = (self.trunk_inputs[name].trunk, predictor.opened.precision)
            run = partial(shared.run, key, predictor.opened.trunk)
            found[name] = predictor.answer(predictor.features(picture, trunk=run))
            seconds[name] = time.perf_counter() - begun - (shared.seconds - before)
        return Answers(found, len(shared.passes), shared.seconds, seconds)

    def groups(self) -> list[list[str]]:
        """The names of the runs, those together that share one pass of pictures of any size."""
        kinds: dict[TrunkInput, list[str]] = {}
        for name, given in self.trunk_inputs.items():
            kinds.setdefault(given, []).append(name)
        return list(kinds.values())

    def report(self) -> list[str]:
        """Lines for people: which runs share a pass, and why the others do not."""
        first, *others = sorted(self.groups(), key=len, reverse=True)
        lines = [f"one pass of a trunk for {', '.join(first)}"]
        for group in others:
            differing = _differences(self.trunk_inputs[group[0]], self.trunk_inputs[first[0]])
            lines.append(f"another for {', '.join(group)}, unlike {first[0]}: {differing}")
        return lines


class _Shared:
    """The passes that were made for one picture."""

    def __init__(self) -> None:
        self.passes: list[tuple[tuple[str, str], Tensor, Pyramid[Tensor]]] = []
        self.seconds = 0.0

    def run(self, key: tuple[str, str], trunk: Pass, x: Tensor) -> Pyramid[Tensor]:
        """Features of an input: those of an equal one of an equal trunk, or a pass of its own."""
        for known, given, pyramid in self.passes:
            if known == key and given.shape == x.shape and torch.equal(given, x):
                return pyramid
        begun = time.perf_counter()
        pyramid = trunk(x)
        _finish(x)
        self.seconds += time.perf_counter() - begun
        self.passes.append((key, x, pyramid))
        return pyramid


def _finish(x: Tensor) -> None:
    """Wait for the device, so that times are those of the work."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def _differences(one: TrunkInput, other: TrunkInput) -> str:
    """What keeps two runs from sharing a pass."""
    ours, theirs = asdict(one), asdict(other)
    if one.trunk != other.trunk:
        return "the trunk has other weights, strides or dilations"
    differing = [name for name in ours if ours[name] != theirs[name]]
    return "; ".join(f"{name} {ours[name]}, not {theirs[name]}" for name in differing)


class Prediction:
    """What the loop of predict asks of several runs."""

    def __init__(self, together: Together, out: Path) -> None:
        self.together, self.out = together, out
        self.passes = self.pictures = 0

    def find(self, source: Source, picture: Picture, frame: int | None) -> Answers:
        """The answers of all runs."""
        answers = self.together(picture)
        self.passes, self.pictures = self.passes + answers.passes, self.pictures + 1
        return answers

    def write(self, source: Source, picture: Picture, found: Answers) -> list[Entry]:
        """Write a drawing for each run."""
        entry: Entry = {"file_name": source.name}
        for name, predictor in self.together.predictors.items():
            drawn = f"{source.place}{_suffix(name)}"
            image.write(self.out / drawn, predictor.draw(picture, found.found[name]))
            entry[name] = {"drawn": drawn, "found": predictor.describe(found.found[name])}
        return [entry]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write the list of all results."""
        text = json.dumps({"files": list(entries)}, indent=1) + "\n"
        outputs.write_text(self.out / _LISTED, text)


def _suffix(name: str) -> str:
    """The end of a drawing's name: that of the run's folder, or of the published model."""
    return f"_{Path(name).name}.jpg"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the flags, ask all runs about every picture, and write their answers.

    Raises:
        UserError: there is no such run or picture, or a flag is wrong.
    """
    given = _flags().parse_args(arguments)
    runs, paths = _split(given.runs, given.inputs)
    require_different_names(runs)
    trained.require_no_other_run(given.out, None)
    with distributed.started(given.device) as world:
        predictors = {
            name: open_run(name, device=given.device, precision=given.precision) for name in runs
        }
        together = Together(predictors)
        if world.main:
            print("\n".join(together.report()), flush=True)
        flags = InputFlags(inputs=paths, recursive=given.recursive, resume=given.resume)
        predict(together, flags, given.out, world, given.on_error)


def predict(
    together: Together, flags: InputFlags, out: Path, world: World, on_error: OnError = "stop"
) -> None:
    """Write a drawing of each run for every picture, and together.json, into a folder."""
    suffixes = [_suffix(name) for name in together.predictors]
    with inputs.given(flags, "together --runs runs/salient runs/depth", _no_samples) as found:
        placed = inputs.placed(found, flags, out, suffixes)
    if placed.videos:
        raise UserError(f"{placed.videos[0].path}: is a video; tasks.together takes pictures")
    prediction = Prediction(together, out)
    asked = together.predictors.values()
    done = predicting.each(
        placed,
        prediction,
        out,
        world,
        settings=" ".join(journal.digest(one.config, one.opened.weights.file) for one in asked),
        resume=flags.resume,
        workers=1,
        on_error=on_error,
        orientation=None,
    )
    if world.main:
        count = f"{done.pictures} pictures, {len(asked)} runs"
        passes = prediction.passes / max(1, prediction.pictures)
        print(f"{count}, {passes:.3g} passes of a trunk for each picture; drawn in {out}")
        done.report()


def _no_samples(folder: Path, count: int) -> list[Path]:
    raise UserError("--sample: tasks.together takes files")


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tasks.together", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--runs", nargs="+", required=True, help="run directories and names of published models"
    )
    parser.add_argument("inputs", nargs="*", help="pictures and folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--recursive", action="store_true", help="folders within folders, too")
    parser.add_argument("--resume", action="store_true", help="go on in the folder of results")
    parser.add_argument(
        "--data.on_error",
        dest="on_error",
        choices=("stop", "skip"),
        default="stop",
        help="on a damaged picture: stop with its name, or skip, count and list it",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    return parser


def _split(runs: Sequence[str], paths: Sequence[str]) -> tuple[list[str], tuple[Path, ...]]:
    """What follows --runs: the runs, and behind them pictures and folders of pictures."""
    count = next((place for place, word in enumerate(runs) if not _is_run(word)), len(runs))
    if not count:
        raise UserError(
            f"--runs {runs[0]}: is no run, which has a config.yaml, and no published model, "
            f"{zoo.close(runs[0])}"
        )
    return list(runs[:count]), tuple(map(Path, (*runs[count:], *paths)))


def _is_run(word: str) -> bool:
    return (Path(word) / "config.yaml").is_file() or zoo.named(word) is not None


def require_different_names(runs: Sequence[str]) -> None:
    """Refuse runs whose drawings would have one name.

    Raises:
        UserError: two folders are called alike, or one is given twice.
    """
    names = [_suffix(name) for name in runs]
    for run, name in zip(runs, names, strict=True):
        if names.count(name) > 1:
            raise UserError(f"--runs {run}: another run is called so too; rename its folder")


if __name__ == "__main__":
    command.run(lambda: main(sys.argv[1:]))
