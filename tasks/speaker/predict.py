"""``python -m tasks.speaker.predict --run runs/speaker INPUT...``: compare, embed or search voices.

``--mode compare`` (the default) scores every pair of the recordings given and says whether one
person speaks, with the error rates that such verdicts had on the run's trials. ``--mode embed``
writes the embeddings of recordings and folders. ``--mode search`` looks for the voice of the first
recording in all that follow. Wav, flac, ogg, mp3 and m4a (extra `audio`) at any rate.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from backbone import deploy
from backbone.errors import WeightsError
from common import outputs
from common.commands import card, command, trained
from common.commands import config as configuration
from common.commands.trained import Trained
from common.errors import UserError
from common.training import distributed
from common.training.distributed import World
from tasks.speaker import audio, decision, sample
from tasks.speaker.config import Config
from tasks.speaker.decision import Decision, read_decision
from tasks.speaker.inference import Embeddings, ScoredConfig, embed, restore
from tasks.speaker.model import from_published
from tasks.speaker.sample.voice import draw_session, speak
from tasks.speaker.scoring import Backend, Scorer

SAMPLE_SEED = 1
"""Another seed than that of the set which is trained and scored."""

_SHOWN = 20


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and (self.inputs or self.mode != "compare"):
            raise UserError("--sample: brings its own recordings, to be compared; give no others")


class Judge(NamedTuple):
    """How pairs are scored and judged."""

    scorer: Scorer
    decision: Decision | None
    """Of the run; none without one."""
    threshold: float | None
    """Of --threshold, or else the run's."""

    def score(self, embeddings: Embeddings, first: Sequence[int], second: Sequence[int]) -> Any:
        """Scores (N,) of pairs of embeddings."""
        places = np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
        return self.scorer(embeddings, embeddings, *places)

    def entry(self, score: float) -> dict[str, Any]:
        """What is written of a pair: score, verdict and likelihood ratio as far as there are."""
        found: dict[str, Any] = {"score": round(score, 6)}
        if self.threshold is not None:
            found["verdict"] = verdict(score, self.threshold)
        ratio = None if self.decision is None else self.decision.likelihood_ratio(score)
        if ratio is not None:
            found["likelihood_ratio"] = float(f"{ratio:.4g}")
        return found


def verdict(score: float, threshold: float) -> str:
    """In words."""
    return "same speaker" if score >= threshold else "different speakers"


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
    weights = trained.find(config, from_published)
    judge = read_judge(config, weights) if config.mode != "embed" else None
    outputs.make_folder(config.out)
    model = restore(config, weights, world.device)
    if config.deploys:
        model = deploy(model, entry="embed")
    low = config.precision == "bf16"
    with torch.autocast(world.device.type, torch.bfloat16, enabled=low):
        embeddings, places = embed(model, files, config, world)
    if not world.main:
        return
    names = [str(files[place]) for place in places]
    if judge is None:
        path = config.out / "embeddings.npz"
        np.savez(path, names=np.array(names), embeddings=embeddings)
        print(f"wrote {path}: names ({len(names)},) and embeddings {embeddings.shape}")
        return
    if config.mode == "search":
        if 0 not in places:
            raise UserError(f"{files[0]}: the voice to search for cannot be read")
        pairs = [(0, other) for other in range(1, len(names))]
    elif config.sample:
        pairs = [(place, place + 1) for place in range(0, len(names), 2)]
    else:
        pairs = list(itertools.combinations(range(len(names)), 2))
    if not pairs:
        raise UserError("of the recordings only one can be read: there is nothing to compare")
    _write_pairs(config, judge, names, embeddings, pairs)


def read_judge(config: PredictConfig, weights: Trained) -> Judge:
    """Scorer and threshold of the run, or a plain cosine for a checkpoint without a run.

    Raises:
        UserError: the run was not evaluated, or the threshold is of another checkpoint.
    """
    if config.run is None:
        if config.test.scoring != "cosine":
            raise UserError(f"--test.scoring {config.test.scoring}: needs --run with its cohort")
        return Judge(Scorer("cosine", config.test.top, None), None, config.threshold)
    found = read_decision(config.run / decision.FILE)
    digest = card.describe_checkpoint(weights.file, None)["sha256"]
    if digest != found.checkpoint:
        raise UserError(
            f"{config.run / decision.FILE}: is of another checkpoint than {weights.file}; run "
            f"python -m tasks.speaker.evaluate --run {config.run} --checkpoint "
            f"{config.checkpoint} first"
        )
    _require_scoring(config, config.run, found)
    backend = None
    if found.scoring != "cosine":
        backend = Backend.read(config.run / decision.BACKEND)
    scorer = Scorer(found.scoring, found.top, backend)
    if config.threshold is not None:
        return Judge(scorer, found, config.threshold)
    return Judge(scorer, found, found.threshold)


def _require_scoring(config: PredictConfig, run: Path, found: Decision) -> None:
    """Refuse flags for another way of scoring than that of the run's verdicts."""
    own, asked = configuration.read(Config, run / "config.yaml").test, config.test
    for flag in ("seconds", "cut", "cohort_utterances", "calibration"):
        if getattr(asked, flag) != getattr(own, flag):
            raise UserError(
                f"--test.{flag}: is for evaluate; predict hears whole recordings, and judges as "
                "the run's last evaluate found; leave it out"
            )
    for flag in ("scoring", "top"):
        value = getattr(asked, flag)
        if value not in (getattr(own, flag), getattr(found, flag)):
            raise UserError(
                f"--test.{flag} {value}: the run's verdicts have {getattr(found, flag)}; say "
                f"python -m tasks.speaker.evaluate --run {run} --test.{flag} {value} first"
            )


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


def _write_pairs(
    config: PredictConfig,
    judge: Judge,
    names: Sequence[str],
    embeddings: Embeddings,
    pairs: Sequence[tuple[int, int]],
) -> None:
    """Print the best pairs, and write all of them."""
    scores = judge.score(embeddings, [a for a, _ in pairs], [b for _, b in pairs])
    rows = [
        {"first": names[first], "second": names[second], **judge.entry(float(score))}
        for (first, second), score in zip(pairs, scores, strict=True)
    ]
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
        return "no verdict without --run or --threshold: cosines of models differ in their scale"
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
    command.run(main, WeightsError)
