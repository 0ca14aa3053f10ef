"""What a trunk that is trained once saves: in a step of training, and when several heads answer.

    python -m benchmarks.together
    python -m benchmarks.together --backbone res2net26_14w_4s_half --short_side 128

A classifier is trained for an epoch on a few generated pictures, and four heads on its trunk, each
for an epoch, with the trunk frozen and without. Then the heads answer about photographs, each alone
and all together on one pass. Scores of such networks say nothing; their times are what they are.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.predict import ROOT, SAMPLES, photographs, run
from common.reading import image
from tasks import open_run
from tasks.together import Together

TRAINED = {
    "salient": ("--model.network", "senet", "--data.input_size", "[128, 128]"),
    "segmentation": (
        "--model.decoder", "fpn", "--model.output_stride", "32", "--data.crop_size", "[128, 128]",
    ),
    "detection": ("--data.short_sides", "[128]", "--data.longest_side", "0"),
    "depth": ("--model.multiple", "32", "--data.crop_size", "[96, 128]"),
}  # fmt: skip
"""How each head is trained, so that its trunk has the strides of classification."""


def scaled(task: str, short_side: int) -> tuple[str, ...]:
    """The flags with which a run takes pictures at the common scale."""
    side = str(short_side)
    return {
        "salient": (
            "--data.fit", "scale", "--data.input_size", f"[{side}, {side}]", "--model.multiple",
            "32",
        ),
        "segmentation": ("--test.short_side", side),
        "detection": ("--data.test_short_side", side, "--test.score_threshold", "0.5"),
        "depth": ("--data.short_side", side),
    }[task]  # fmt: skip


def train(task: str, folder: Path, backbone: str, *flags: str) -> Path:
    """A run of the task after one epoch on a few generated samples."""
    data = folder / f"{task}_data"
    if not data.exists():
        run(ROOT, f"tasks.{task}.sample", str(data), *SAMPLES[task])
    out = folder / f"{task}_{'frozen' if '--freeze_backbone' in flags else 'whole'}"
    run(
        ROOT, f"tasks.{task}.train", "--data.root", str(data), "--out", str(out), "--backbone",
        backbone, "--engine.epochs", "1", "--engine.batch_size", "4", "--engine.log_every", "1",
        "--loader.workers", "0", *flags,
    )  # fmt: skip
    return out


def samples_a_second(run_folder: Path) -> float:
    """Of the median step of a training, without its first."""
    lines = map(json.loads, (run_folder / "log.jsonl").read_text().splitlines())
    rates = [line["samples_per_second"] for line in lines if "samples_per_second" in line]
    return statistics.median(rates[1:])


def seconds(work: Callable[[Any], object], pictures: list[Any]) -> float:
    """Median of what one call takes, without the first."""
    times = []
    for picture in pictures:
        begun = time.perf_counter()
        work(picture)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def compare(runs: dict[str, Path], pictures: list[Any], short_side: int) -> None:
    """Print what every head takes alone, and all take on one pass."""
    predictors = {
        task: open_run(path, device="cpu", flags=scaled(task, short_side))
        for task, path in runs.items()
    }
    together = Together(predictors)
    print("\n".join(together.report()))
    print("| | alone | its part beside one pass |\n| --- | --- | --- |")
    alone = {task: seconds(predictor, pictures) for task, predictor in predictors.items()}
    answers = [together(picture) for picture in pictures][1:]
    for task in runs:
        head = statistics.median(one.head_seconds[task] for one in answers)
        print(f"| {task} | {alone[task]:.3f} | {head:.3f} |")
    whole = seconds(together, pictures)
    trunk = statistics.median(one.trunk_seconds for one in answers)
    print(f"| one pass of the trunk | | {trunk:.3f} |")
    total = sum(alone.values())
    print(f"| all | {total:.3f} | {whole:.3f} ({whole / total:.2f}) |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", default="res2net50_26w_4s")
    parser.add_argument("--short_side", type=int, default=416)
    parser.add_argument("--pictures", type=int, default=6)
    flags = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        photographs(folder / "pictures", flags.pictures, 200)
        trunk = train("classification", folder, flags.backbone)
        print(f"{os.cpu_count()} cores, {flags.backbone}, short side {flags.short_side}")
        print("| samples a second | trunk trained | frozen | ratio |\n| --- | --- | --- | --- |")
        runs = {}
        for task, words in TRAINED.items():
            whole = samples_a_second(train(task, folder, flags.backbone, *words))
            given = ("--weights", str(trunk), "--freeze_backbone", "true")
            runs[task] = train(task, folder, flags.backbone, *words, *given)
            frozen = samples_a_second(runs[task])
            print(f"| {task} | {whole:.2f} | {frozen:.2f} | {frozen / whole:.2f} |", flush=True)
        pictures = [image.shown(path, None) for path in sorted((folder / "pictures").iterdir())]
        compare(runs, pictures, flags.short_side)


if __name__ == "__main__":
    main()
