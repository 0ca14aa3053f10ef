"""The commands that ``benchmarks.same`` runs for each task, on few and small samples.

The flags turn on what draws at random and what keeps a state, so that a changed order of draws or a
forgotten state shows in the weights; and thresholds are low, so that an unlearned network's results
are drawn.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.same_start import Server, Servers

STEPS = ("sample", "train", "evaluate", "predict", "export")
"""Folders of one side's files, and what is compared in this order."""

SET, RUN = "sample/set", "train/run"
TAKEN = ("scoring", "resuming")
"""Folders in which NEW takes over what OLD wrote."""

_STOPPED = "stopped"
_ENGINE = "--engine.epochs 2 --engine.log_every 1 --engine.save_every 2 --engine.evaluate_every 1"


@dataclass(frozen=True)
class Plan:
    """What is run for a task; words of flags are separated by blanks."""

    sample: str
    train: str
    inputs: str
    """What predict takes: the first four files of this pattern below the sample set."""
    predict: tuple[str, ...] = ("",)
    """Further words of predict, which runs once for each."""
    clip: bool = False
    """Whether predict takes videos."""


PLANS = {
    "pose": Plan(
        "--train 12 --val 5",
        "--engine.batch_size 4 --data.rotation 20 --test.joint_threshold 0",
        "images/val2017/*.jpg",
        ("", "--boxes boxes.json"),
    ),
    "salient": Plan(
        "--train 12 --test 5 --edge 4",
        "--engine.batch_size 4 --data.least_crop 0.8 --data.light 0.2 --model.edge",
        "DUTS-TE/DUTS-TE-Image/*.jpg",
        clip=True,
    ),
    "segmentation": Plan(
        "--train 12 --val 5",
        "--engine.batch_size 4 --engine.ema 0.9 --data.blur_probability 0.5",
        "JPEGImages/*.jpg",
        clip=True,
    ),
    "detection": Plan(
        "--train 12 --val 5",
        "--engine.batch_size 4 --engine.clip 5 --data.copy_paste_probability 0.5",
        "val2017/*.jpg",
        ("--score_threshold 0.05",),
        clip=True,
    ),
    "reid": Plan(
        "--train 4 --test 4",
        "--engine.batch_size 8 --data.erase_probability 0.5 --loss.center_weight 0.0005",
        "query/*.jpg",
        ("", f"--gallery {SET}/bounding_box_test"),
    ),
    "speaker": Plan(
        "--train 4 --test 3",
        "--engine.batch_size 8 --data.noise musan --data.rooms rirs --data.time_mask 20",
        "test/wav/**/*.wav",
    ),
    "depth": Plan(
        "--train 12 --val 5",
        "--engine.batch_size 4 --data.rotation 5 --data.colour_probability 0.7 --engine.ema 0.9",
        "val/*.jpg",
        ("", "--outputs [numbers,points] --focal 118"),
        clip=True,
    ),
    "interactive": Plan(
        "--train 8 --val 3",
        "--engine.batch_size 4 --data.crop_size [64,64] --model.channels 16",
        "JPEGImages/*.jpg",
        ("--clicks 60,50,+", "--clicks 60,50,+ --outputs [mask]"),
    ),
    "panoptic": Plan(
        "--train 12 --val 5",
        "--engine.batch_size 4 --engine.clip 5 --engine.ema 0.9 --data.short_sides [80,96]",
        "val2017/*.jpg",
        ("--test.thing_score 0.05",),
        clip=True,
    ),
    "volumes": Plan(
        "--cases 5",
        "--engine.batch_size 4 --data.crops_per_case 4 --data.flip_probability 0.5",
        "imagesTr/*.nii.gz",
        ("", "--outputs [labels,probabilities]"),
    ),
    "classification": Plan(
        "--train 20 --val 10",
        "--engine.batch_size 4 --engine.accumulate 2 --data.randaugment 5 --loss.mixup 0.2",
        "val/**/*.jpg",
        ("--cam",),
    ),
}


@dataclass(frozen=True)
class Side:
    """The code of one checkout at work in a folder, the same relative names in each."""

    checkout: Path
    folder: Path
    failures: dict[str, str] = field(default_factory=dict)
    """Of each step that failed: the command and its last words."""
    servers: Servers = field(default_factory=Servers)

    def command(self, task: str, step: str, words: Sequence[str], stop: bool = False) -> None:
        """Run a command of a task to its end, or to where it stops; a failure is noted."""
        said = self.folder / ("said.txt" if step == "train" else f"{step}/said.txt")
        # Warnings name files and lines, which a refactor may change: they are not compared.
        errors = self.folder / f"errors_{step}.txt"
        said.parent.mkdir(parents=True, exist_ok=True)
        with self.servers.of(self.checkout) as server:
            pid = server.start(f"tasks.{task}.{step}", words, self.folder, said, errors)
            if stop:
                self._stop_when_logged(server, pid)
            status = server.wait(pid)
        wanted = 128 + signal.SIGTERM if stop else 0
        if status != wanted:
            texts = errors.read_text(errors="replace"), said.read_text(errors="replace")
            last = next((text.splitlines()[-1] for text in texts if text.strip()), "")
            text = f"python -m tasks.{task}.{step}: status {status}, not {wanted}: {last}"
            self.failures.setdefault(step, text)

    def _stop_when_logged(self, server: Server, pid: int) -> None:
        """Send SIGTERM after the first step, to the main process alone, as a cluster may."""
        log = self.folder / RUN / "log.jsonl"
        while server.lives():
            if log.is_file() and log.stat().st_size:
                os.kill(pid, signal.SIGTERM)
                return
            time.sleep(0.005)


def run(side: Side, task: str) -> None:
    """Every command of a task in the side's folder."""
    plan = PLANS[task]
    side.folder.mkdir(parents=True)
    side.command(task, "sample", [SET, *plan.sample.split()])
    train(side, task, stop=True)
    if (side.folder / RUN).is_dir():
        shutil.copytree(side.folder / RUN, side.folder / _STOPPED)
    train(side, task)
    evaluate(side, task)
    found = sorted((side.folder / SET).glob(plan.inputs))[:4]
    inputs = [str(path.relative_to(side.folder)) for path in found]
    (side.folder / "boxes.json").write_text(json.dumps(_boxes(found)))
    if plan.clip:
        _write_clip(side.folder / "clip.mp4")
        inputs.append("clip.mp4")
    for number, words in enumerate(plan.predict):
        out = ["--out", f"predict/{number}"]
        side.command(task, "predict", ["--run", RUN, *inputs, *out, *words.split()])
    side.command(task, "export", ["--run", RUN, "export/network.onnx"])


def train(side: Side, task: str, stop: bool = False) -> None:
    """Two epochs: up to a signal after the first step or so, or on from there.

    At which step the signal takes effect is left to chance, and must not matter: a run that was
    stopped and resumed ends with the weights and the log of one that was not.
    """
    words = ["--data.root", SET, "--out", RUN, *_ENGINE.split(), *PLANS[task].train.split()]
    side.command(task, "train", words if stop else [*words, "--resume"], stop)


def evaluate(side: Side, task: str) -> None:
    """The scores of the run's best checkpoint."""
    side.command(task, "evaluate", ["--run", RUN, "--out", "evaluate/scores"])


def take_over(old: Side, new: Side, task: str) -> tuple[Side, Side]:
    """NEW scores the run that OLD wrote, and resumes the one that OLD stopped."""
    scoring, resuming = (
        replace(new, folder=old.folder.with_name(name), failures={}) for name in TAKEN
    )
    for side, source in ((scoring, RUN), (resuming, _STOPPED)):
        side.folder.mkdir()
        if (old.folder / source).is_dir():
            shutil.copytree(old.folder / "sample", side.folder / "sample")
            shutil.copytree(old.folder / source, side.folder / RUN)
    evaluate(scoring, task)
    train(resuming, task)
    return scoring, resuming


def _boxes(pictures: Sequence[Path]) -> dict[str, list[list[int]]]:
    """Two people in each picture, for `predict --boxes`."""
    return {path.name: [[10, 10, 60, 90], [50, 20, 70, 100]] for path in pictures}


def _write_clip(path: Path) -> None:
    """Six frames of a square that wanders over noise."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (72, 96, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (96, 72))
    for number in range(6):
        frame = cv2.GaussianBlur(noise, (0, 0), 3)
        left = 8 + 10 * number
        cv2.rectangle(frame, (left, 20), (left + 24, 50), (40, 60, 220), -1)
        writer.write(frame)
    writer.release()
