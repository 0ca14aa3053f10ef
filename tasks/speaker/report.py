"""What an evaluation leaves behind: card, table of conditions, threshold, scores and pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import outputs
from common.commands import card
from common.commands.opened import Opened
from tasks.speaker import decision
from tasks.speaker.conditions import Condition, Evaluation
from tasks.speaker.config import ScoredConfig
from tasks.speaker.decision import Decision
from tasks.speaker.features import SHORTEST
from tasks.speaker.figures import det_curve, score_histogram
from tasks.speaker.material import Material
from tasks.speaker.metrics import equal_errors, operating_points
from tasks.speaker.model import SpeakerModel
from tasks.speaker.trials import write_scores


def write(
    config: ScoredConfig,
    evaluation: Evaluation,
    material: Material,
    model: Opened[SpeakerModel],
) -> None:
    """Print the tables; write card, conditions, decision, backend, scores and pictures."""
    one = result_card(config, evaluation, material, model)
    print(one.table())
    print(conditions_table(evaluation.conditions))
    print(f"EER and error rates are shares; recordings under {SHORTEST:g} s were repeated")
    with outputs.written(config.out):
        one.write(config.out / "metrics.json")
        rows = [_row(condition) for condition in evaluation.conditions]
        outputs.write_text(config.out / "conditions.json", json.dumps(rows, indent=1) + "\n")
        _decision(config, evaluation, one).write(config.out / decision.FILE)
        if evaluation.backend is not None:
            evaluation.backend.save(config.out / decision.BACKEND)
        _write_score_files(config.out / "scores", evaluation.conditions)
        write_pictures(config.out / "pictures", evaluation.conditions)
    print(f"wrote {config.out}/metrics.json, {decision.FILE}, scores/ and pictures/det.png")


def length_name(seconds: float) -> str:
    """How a table calls a length."""
    return f"{seconds:g} s" if seconds else "full"


def conditions_table(conditions: Sequence[Condition]) -> str:
    """All scores as a text table: one line per list, length and way of scoring."""
    width = max(len(one.trials.name) for one in conditions)
    lines = [f"{'trials':{width}}  length  scoring     EER  minDCF01  minDCF05"]
    for one in conditions:
        eer, low, high = (one.metrics[name] for name in ("EER", "minDCF01", "minDCF05"))
        lines.append(
            f"{one.trials.name:{width}}  {length_name(one.seconds):>6}  {one.scoring:7}"
            f"  {eer:6.4f}    {low:6.4f}    {high:6.4f}"
        )
    return "\n".join(lines)


def result_card(
    config: ScoredConfig,
    evaluation: Evaluation,
    material: Material,
    model: Opened[SpeakerModel],
) -> card.Card:
    """The headline with its protocol, data, model and versions."""
    headline = evaluation.conditions[0]
    trials = headline.trials.trials
    return card.of(
        model,
        config,
        task="speaker",
        metrics=evaluation.metrics,
        protocol=_protocol(config, evaluation, headline),
        data={
            "root": card.describe_root(config.data.root),
            "split": trials.file.name,
            "trials": len(trials),
            "skipped": len(trials) - len(headline.kept),
            "fingerprint": trials.fingerprint,
            "cohort": None if material.speakers is None else material.speakers.fingerprint,
            **({"shared_names": len(material.shared)} if material.shared else {}),
        },
        packages=("numpy", "scipy", "soundfile"),
    )


def _protocol(config: ScoredConfig, evaluation: Evaluation, headline: Condition) -> dict[str, Any]:
    """Everything that moves the score and is not the model, for the result card."""
    test, model = config.test, config.model
    backend: dict[str, Any] = {}
    if headline.scoring != "cosine" and evaluation.backend is not None:
        backend["cohort_speakers"] = len(evaluation.backend.cohort)
        backend["cohort_utterances"] = test.cohort_utterances or "all"
    if headline.scoring == "as-norm" and evaluation.backend is not None:
        backend["top"] = min(test.top, len(evaluation.backend.cohort))
    return {
        "scoring": headline.scoring,
        **backend,
        "length": length_name(headline.seconds),
        **({"cut": test.cut} if headline.seconds else {}),
        "minDCF": "C_miss 1, C_fa 1, prior in the name",
        "calibrated_on": evaluation.calibrated_on,
        "features": f"{model.bins} mel bins, {model.window}, scale {model.wave_scale:g}",
        "channel": config.data.channel,
        "floor": model.floor,
    }


def _decision(config: ScoredConfig, evaluation: Evaluation, one: card.Card) -> Decision:
    headline, equal = evaluation.conditions[0], evaluation.equal
    fitted = evaluation.calibration
    return Decision(
        threshold=equal.threshold,
        eer=equal.rate,
        misses=equal.misses,
        false_accepts=equal.false_accepts,
        trials=headline.trials.trials.file.name,
        count=len(headline.scores),
        scoring=headline.scoring,
        top=config.test.top,
        slope=None if fitted is None else fitted.slope,
        offset=None if fitted is None else fitted.offset,
        calibrated_on=evaluation.calibrated_on,
        checkpoint=one.checkpoint["sha256"],
        heard=_heard(headline.seconds, config.test.cut),
    )


def _heard(seconds: float, cut: str) -> str:
    side = "each recording" if cut == "both" else "the second recording"
    return f"{seconds:g} s of {side}" if seconds else ""


def _row(condition: Condition) -> dict[str, Any]:
    return {
        "trials": condition.trials.name,
        "count": len(condition.scores),
        "seconds": condition.seconds,
        "scoring": condition.scoring,
        **condition.metrics,
    }


def _write_score_files(folder: Path, conditions: Sequence[Condition]) -> None:
    """A file for each list and length in the headline's way of scoring."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in conditions:
        if one.scoring == conditions[0].scoring:
            name = f"{one.trials.name}_{length_name(one.seconds).replace(' ', '')}.txt"
            write_scores(folder / name, one.trials.trials, one.kept, one.scores)


def write_pictures(folder: Path, conditions: Sequence[Condition]) -> None:
    """The DET curves of all lists and lengths in the headline's way, and the headline's scores."""
    folder.mkdir(parents=True, exist_ok=True)
    headline = conditions[0]
    curves = {}
    for one in conditions:
        if one.scoring == headline.scoring:
            points = operating_points(one.scores, one.target)
            name = f"{one.trials.name}, {length_name(one.seconds)}"
            curves[name] = (points, equal_errors(points))
    det_curve(folder / "det.png", curves)
    threshold = next(iter(curves.values()))[1].threshold
    score_histogram(folder / "scores.png", headline.scores, headline.target, threshold)
