"""``python -m tasks.speaker.evaluate --run runs/speaker``: score a model, and say by what protocol.

A published checkpoint without a run: ``--config RECIPE.yaml --checkpoint FILE.pt``. Any flag of
train wins over the run's config, such as ``--data.root``, ``--data.trials`` and ``--test.scoring``.

A score file without a model: ``--scores FILE`` (lines `path path score target|nontarget`; with
``--labels TRIALS`` lines `path path score` do), and ``--calibration_scores FILE`` for Cllr.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from common import outputs
from common.commands import command, seen, trained
from common.commands import config as configuration
from common.errors import UserError
from common.training import distributed
from common.training.distributed import World
from tasks.speaker import report
from tasks.speaker.conditions import Evaluation, all_scores
from tasks.speaker.config import Config, ScoredConfig
from tasks.speaker.data import read, training_files
from tasks.speaker.figures import det_curve, score_histogram
from tasks.speaker.inference import open_model
from tasks.speaker.learnt import learnt_by
from tasks.speaker.metrics import (
    equal_errors,
    fit_calibration,
    least_log_likelihood_cost,
    log_likelihood_cost,
    operating_points,
    verification_scores,
)
from tasks.speaker.trials import read_scores


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ScoredConfig):
    """Score a model on trials, or a file of scores."""

    scores: Path | None = None
    """Score this file; no model is needed."""
    labels: Path | None = None
    """Trial list with the labels of a score file that has none."""
    calibration_scores: Path | None = None
    """Labelled score file to calibrate on: its trials must be others, scored by the same model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_scores(self.scores, self.labels, self.calibration_scores)
        if self.scores is not None and self.run is not None:
            raise UserError("--scores and --run: give one; a score file needs no model")


def require_scores(scores: Path | None, *others: Path | None) -> None:
    """Refuse what belongs to a score file where there is none."""
    if scores is None and any(others):
        raise UserError("--labels and --calibration_scores: belong to --scores FILE")


def main() -> None:
    """Read the flags, score the model or the file, and write what there is to tell."""
    words = sys.argv[1:]
    files = configuration.peek(
        EvaluateConfig, words, None, "scores", "labels", "calibration_scores"
    )
    require_scores(*files)
    scores = files[0]
    if scores is not None:
        out = ["--out", str(trained.results_folder(scores.stem))]
        score_file(scores, configuration.parse(EvaluateConfig, [*out, *words]))
        return
    config = trained.parse(EvaluateConfig, words)
    with distributed.started(config.engine.device) as world:
        score(config, world)


def score(config: ScoredConfig, world: World) -> Evaluation:
    """Score the config's checkpoint and write everything there is to tell into config.out."""
    material = read(config, learnt_by(config), need_speakers=False)
    if world.main:
        seen.report_of_run(config, Config, material.files(), training_files)
    model = open_model(config, world.device)
    with model.running():
        evaluation = all_scores(model.network, material, config, world)
    if world.main:
        print(material.summary())
        report.write(config, evaluation, material, model)
    return evaluation


def score_file(file: Path, config: EvaluateConfig) -> dict[str, float]:
    """Score a file of scores; prints, and writes metrics.json and pictures into config.out.

    Raises:
        UserError: the file cannot be read, or a run is kept in config.out.
    """
    trained.require_no_other_run(config.out, None)
    scores, target = read_scores(file, config.labels)
    metrics = verification_scores(scores, target)
    if config.calibration_scores is not None:
        fitted = fit_calibration(*read_scores(config.calibration_scores))
        metrics["Cllr"] = log_likelihood_cost(fitted(scores), target)
    metrics["minCllr"] = least_log_likelihood_cost(scores, target)
    points = operating_points(scores, target)
    equal = equal_errors(points)
    print(_table(metrics))
    print(
        f"{len(scores):,} trials, {int(target.sum()):,} target; at the threshold "
        f"{equal.threshold:.6g} misses {equal.misses:.4f}, false accepts {equal.false_accepts:.4f}"
    )
    content = {
        "task": "speaker",
        "scores": str(file),
        "trials": len(scores),
        "calibrated_on": None
        if config.calibration_scores is None
        else config.calibration_scores.name,
        "metrics": metrics,
        "threshold": equal.threshold,
    }
    with outputs.written(config.out):
        outputs.write_text(config.out / "metrics.json", json.dumps(content, indent=2) + "\n")
        det_curve(config.out / "det.png", {file.stem: (points, equal)})
        score_histogram(config.out / "scores.png", scores, target, equal.threshold)
    print(f"wrote {config.out}/metrics.json, det.png and scores.png")
    return metrics


def _table(metrics: dict[str, float]) -> str:
    return "\n".join(
        "  ".join(texts)
        for texts in zip(
            *((name.rjust(8), f"{value:8.4f}") for name, value in metrics.items()), strict=True
        )
    )


if __name__ == "__main__":
    command.run(main)
