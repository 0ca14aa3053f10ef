"""How many pictures a second predict works on, in every task and every way of running.

    python -m benchmarks.predict                   # all ways, with ratios
    python -m benchmarks.predict --against OTHER   # the same command in another checkout
    python -m benchmarks.predict --tasks salient pose --pictures 100 --kilobytes 1000

A network of each task is trained for one epoch on a few generated pictures, so that it finds what
such a network finds. Then predict works on a folder of photographs, as large as --kilobytes says.
Between checkouts whole commands are timed, Python's start included, by turns.
"""

import argparse
import importlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

# Before torch is imported, as in `tasks`.
if not (os.environ.get("GOMP_SPINCOUNT") or os.environ.get("OMP_WAIT_POLICY")):
    os.environ["GOMP_SPINCOUNT"] = "1000"

import cv2
import numpy as np

from common.commands import trained
from common.sample import backgrounds
from common.training import distributed

ROOT = Path(__file__).parents[1]

SAMPLES = {
    "pose": ("--train", "24", "--val", "8"),
    "salient": ("--train", "24", "--test", "8", "--edge", "4"),
    "segmentation": ("--train", "24", "--val", "8"),
    "detection": ("--train", "24", "--val", "8"),
    "classification": ("--train", "40", "--val", "20"),
    "depth": ("--train", "24", "--val", "8"),
}
"""How much is generated for each task that writes files for each picture."""

FEW = 8
"""Pictures at the beginning that are not counted."""

WAYS: dict[str, tuple[str, ...]] = {
    "plain": ("--deploy", "false"),
    "deployed": (),
    "compiled": ("--compile",),
    "onnxruntime": ("--backend", "onnxruntime"),
    "bf16": ("--precision", "bf16"),
    "bf16 compiled": ("--precision", "bf16", "--compile"),
}


def photographs(folder: Path, count: int, kilobytes: int) -> None:
    """Write so many different JPEGs of about this size, of one height and width."""
    folder.mkdir()
    scenes = list(backgrounds().values())
    for number in range(count):
        generator = np.random.default_rng(number)
        side = round(1.38 * (kilobytes * 1000) ** 0.5)
        scene = cv2.resize(scenes[number % len(scenes)], (side * 4 // 3, side))
        noisy = scene + generator.normal(0, 12, scene.shape)
        picture = np.clip(noisy, 0, 255).astype(np.uint8)[..., ::-1]
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    mean = np.mean([path.stat().st_size for path in folder.iterdir()])
    print(f"{count} pictures of {side * 4 // 3}x{side}, {mean / 1000:,.0f} kB on average")


def run(checkout: Path, *words: str) -> float:
    """Run a command in a checkout; returns its seconds."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return time.perf_counter() - begun


def train(task: str, folder: Path, checkout: Path = ROOT) -> Path:
    """A run of the task after one epoch on a few generated samples."""
    run(checkout, f"tasks.{task}.sample", str(folder / "data"), *SAMPLES[task])
    run(
        checkout, f"tasks.{task}.train", "--data.root", str(folder / "data"), "--out",
        str(folder / "run"), "--engine.epochs", "1", "--engine.batch_size", "4",
    )  # fmt: skip
    return folder / "run"


def pictures_a_second(task: str, run_folder: Path, words: Sequence[str], pictures: Path) -> float:
    """Of predict in this process, without its start: by when the results of each were written.

    The first pictures are not counted, which wait for the weights to be read and for the compiler.
    """
    module = importlib.import_module(f"tasks.{task}.predict")
    with TemporaryDirectory() as name:
        out = Path(name)
        given = ["--run", str(run_folder), "--out", name, *words, str(pictures)]
        config = trained.parse(module.PredictConfig, given, positional="inputs")
        with distributed.started(config.engine.device) as world:
            module.predict(config, world)
        written = sorted(
            max(file.stat().st_mtime for file in out.glob(f"{picture.stem}*"))
            for picture in pictures.iterdir()
        )
    return (len(written) - FEW) / (written[-1] - written[FEW - 1])


def ways_of(task: str, folder: Path, pictures: Path) -> str:
    """A line of a table: pictures a second in every way, and the ratio to plain."""
    run_folder = train(task, folder)
    rates = {way: pictures_a_second(task, run_folder, WAYS[way], pictures) for way in WAYS}
    cells = [f"{rate:.2f} ({rate / rates['plain']:.2f})" for rate in rates.values()]
    return f"| {task} | " + " | ".join(cells) + " |"


def against(task: str, folder: Path, pictures: Path, other: Path, rounds: int) -> str:
    """A line of a table: seconds here and there, and how many times as fast it is here.

    The other checkout trains: an older one cannot read the settings of a newer one.
    """
    out = folder / "out"
    words = ("--run", str(train(task, folder, other)), str(pictures), "--out", str(out))
    here, there = [], []
    for _ in range(rounds):
        for checkout, seconds in ((other, there), (ROOT, here)):
            seconds.append(run(checkout, f"tasks.{task}.predict", *words))
            shutil.rmtree(out)
    ratio = statistics.median(b / a for a, b in zip(here, there, strict=True))
    return (
        f"| {task} | {statistics.median(there):.1f} | {statistics.median(here):.1f} | {ratio:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=SAMPLES, default=list(SAMPLES))
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--kilobytes", type=int, default=200)
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    with TemporaryDirectory() as name:
        pictures = Path(name) / "pictures"
        photographs(pictures, flags.pictures, flags.kilobytes)
        print(f"{os.cpu_count()} cores")
        head = list(WAYS) if flags.against is None else ["seconds there", "here", "times as fast"]
        print(f"| task | {' | '.join(head)} |\n|{' --- |' * (len(head) + 1)}")
        for task in flags.tasks:
            folder = Path(name) / task
            folder.mkdir()
            if flags.against is None:
                print(ways_of(task, folder, pictures), flush=True)
            else:
                line = against(task, folder, pictures, flags.against.resolve(), flags.rounds)
                print(line, flush=True)


if __name__ == "__main__":
    main()
