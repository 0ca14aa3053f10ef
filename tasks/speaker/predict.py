"""``python -m tasks.speaker.predict --run runs/speaker INPUT...``: compare, embed or search voices.

``--mode compare`` (the default) scores every pair of the recordings given and says whether one
person speaks, with the error rates that such verdicts had on the run's trials. ``--mode embed``
writes the embeddings of recordings and folders; ``--resume`` goes on from `embeddings_parts/`,
where they are on disk at any time. ``--mode search`` looks for the voice of the first recording in
all that follow. Wav, flac, ogg, mp3 and m4a (extra `audio`) at any rate.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from common import outputs
from common.commands import command, journal, trained
from common.commands.inputs import SAMPLE_SEED
from common.errors import DamagedFile, UserError
from common.training import distributed
from common.training.distributed import World
from tasks.speaker import audio, parts, sample
from tasks.speaker.config import ScoredConfig
from tasks.speaker.inference import Predictor, embed, embed_some, open_model
from tasks.speaker.judge import Judge
from tasks.speaker.sample.voice import draw_session, speak

_SHOWN = 20
_PARTS = "embeddings_parts"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Compare recordings, embed them, or search them for a voice."""

    inputs: tuple[Path, ...] = ()
    """Recordings and folders of recordings: the words that belong to no flag."""
    mode: Literal["compare", "embed", "search"] = "compare"
    """compare every pair, embed all, or search for the first recording's voice in the others."""
    threshold: float | None = None
    """Scores from here on are the same speaker; none takes the run's, with its error rates."""
    sample: int = 0
    """Instead of inputs, compare two recordings each of so many freshly generated pairs."""
    resume: bool = False
    """embed: go on in the folder of results; what is embedded there is not embedded again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and (self.inputs or self.mode != "compare"):
            raise UserError("--sample: brings its own recordings, to be compared; give no others")


def main() -> None:
    """Read the flags and do what --mode says."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        if config.sample:
            with TemporaryDirectory() as folder:
                predict(config, _sample_pairs(Path(folder), config.sample), world)
        else:
            predict(config, _files(config), world)


def predict(config: PredictConfig, files: Sequence[Path], world: World) -> None:
    """Do what config.mode says with the recordings, and write the result into config.out."""
    if config.resume and config.mode != "embed":
        raise UserError(f"--resume: belongs to --mode embed; --mode {config.mode} begins anew")
    predictor = Predictor(open_model(config, world.device), config)
    if config.mode == "embed":
        embed_all(config, predictor, files, world)
        return
    judge = predictor.judge
    if config.threshold is not None:
        judge = judge._replace(threshold=config.threshold)
    outputs.make_folder(config.out)
    try:
        with predictor.opened.running():
            embeddings, places = embed(predictor.opened.network, files, config, world)
    except DamagedFile as error:
        raise journal.advised(error, "--data.on_error skip") from error
    if not world.main:
        return
    names = [str(files[place]) for place in places]
    pairs = _pairs(config, files, places.tolist())
    rows = [
        {"first": names[first], "second": names[second], **predictor.describe(found)}
        for (first, second), found in zip(pairs, judge(embeddings, pairs), strict=True)
    ]
    _write_rows(config, judge, rows)


def embed_all(
    config: PredictConfig, predictor: Predictor, files: Sequence[Path], world: World
) -> None:
    """Embed part by part, so that a command that is stopped can go on; then join the parts."""
    model, folder = predictor.opened, config.out / _PARTS
    settings = journal.digest(config, model.weights.file)
    done = distributed.from_main(lambda: parts.begin(folder, settings, config.resume), world)
    left = [file for file in files if str(file) not in done]
    with journal.stoppable(config.out, world.main):
        for start in range(0, len(left), parts.SIZE):
            some = left[start : start + parts.SIZE]
            with model.running():
                found = embed_some(model.network, some, config, world)
            if found:
                names = [str(some[place]) for place, _ in found]
                part = parts.Part(np.array(names), np.stack([vector for _, vector in found]))
                distributed.from_main(partial(parts.add, folder, settings, part), world)
    if world.main:
        path = config.out / "embeddings.npz"
        whole = parts.join(folder, path)
        if whole is None:
            raise UserError(f"embedding: not one of the {len(files)} recordings can be read")
        parts.end(folder)
        shape = whole.embeddings.shape
        print(f"wrote {path}: names ({len(whole.names)},) and embeddings {shape}")


def _pairs(
    config: PredictConfig, files: Sequence[Path], places: Sequence[int]
) -> list[tuple[int, int]]:
    """Which of the embeddings are compared; `places` are those of their recordings in `files`."""
    if config.mode == "search":
        if 0 not in places:
            raise UserError(
                f"{files[0]}: the voice to search for cannot be read; name another recording of it"
            )
        pairs = [(0, other) for other in range(1, len(places))]
    elif config.sample:
        pairs = [(place, place + 1) for place in range(0, len(places), 2)]
    else:
        pairs = list(itertools.combinations(range(len(places)), 2))
    if not pairs:
        raise UserError("of the recordings only one can be read: there is nothing to compare")
    return pairs


def _files(config: PredictConfig) -> list[Path]:
    if not config.inputs:
        raise UserError("no input given; name recordings or folders of them, or --sample N")
    if config.mode == "search":
        voice, *others = config.inputs
        if not voice.is_file():
            raise UserError(f"{voice}: --mode search begins with the recording of one voice")
        if not others:
            raise UserError("--mode search: name the recordings or folders to search as well")
        itself = voice.resolve()
        found = audio.list_recordings(others)
        return [voice, *(path for path in found if path.resolve() != itself)]
    files = audio.list_recordings(config.inputs)
    if config.mode == "compare" and len(files) < 2:
        raise UserError(f"--mode compare: needs at least two recordings, found {len(files)}")
    return files


def _write_rows(config: PredictConfig, judge: Judge, rows: list[dict[str, Any]]) -> None:
    """Print the best pairs, and write all of them."""
    if not config.sample:
        rows.sort(key=lambda row: -row["score"])
    for row in rows[:_SHOWN]:
        print(_line(row))
    if len(rows) > _SHOWN:
        print(f"... and {len(rows) - _SHOWN} more, with lower scores")
    print(_trust(config, judge))
    content = {
        "mode": config.mode,
        "threshold": judge.threshold,
        "decision": None if judge.decision is None else asdict(judge.decision),
        "pairs": rows,
    }
    path = config.out / f"{config.mode}.json"
    outputs.write_text(path, json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")


def _line(row: dict[str, Any]) -> str:
    ratio = row.get("likelihood_ratio")
    likely = "" if ratio is None else f", likelihood ratio {ratio:g}"
    said = f"{row['verdict']}{likely}: " if "verdict" in row else ""
    return f"{row['score']:8.4f}  {said}{row['first']}  {row['second']}"


def _trust(config: PredictConfig, judge: Judge) -> str:
    """What the verdicts rest on."""
    if config.threshold is not None:
        return f"the threshold {config.threshold:g} is yours: its error rates are not known"
    if judge.decision is None:
        return "no verdict without --threshold or that of a run: cosines of models differ in scale"
    return judge.decision.reliability()


def _sample_pairs(folder: Path, count: int) -> list[Path]:
    """Two recordings each of generated pairs, by turns of one voice and of two."""
    files: list[Path] = []
    for pair in range(count):
        numbers = (2 * pair, 2 * pair + pair % 2)
        for side, number in enumerate(numbers):
            voice, generator = sample.voice_of(number, SAMPLE_SEED)
            generator = generator.spawn(2)[side]
            wave = speak(voice, draw_session(generator), 4.0, generator)
            truth = "one_speaker" if pair % 2 == 0 else "two_speakers"
            files.append(folder / f"pair{pair + 1:02d}_{truth}_{'ab'[side]}.wav")
            audio.write(files[-1], wave)
    return files


if __name__ == "__main__":
    command.run(main)
