"""``python -m benchmarks.interactive``: what a click costs, and what a robot user costs.

A picture's first click (trunk and head) beside every further one (head alone) of the networks, each
deployed; FCA-Net's clicks all cost the same. The robot's next click beside SciPy's distances of the
whole picture; a training sample. One CPU thread, processor time.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from backbone import deploy
from common.training.sampling import generator_for
from tasks.interactive import sample
from tasks.interactive.config import Config, DataConfig, ModelConfig, ScoringConfig
from tasks.interactive.data import TrainSet, read
from tasks.interactive.inference import Features, begin, see
from tasks.interactive.model import build
from tasks.interactive.robot import next_click

LIMIT = 0.2
"""Of the first click's time, that a further one may take."""
NETWORKS = (
    ("late", 32, "res2net26_14w_4s_half", (128, 160)),
    ("late", 32, "res2net26_14w_4s_half", (480, 640)),
    ("late", 32, "resnet26_half", (480, 640)),
    ("late", 96, "res2net50_26w_4s", (480, 640)),
    ("late", 96, "res2net101_26w_4s", (480, 640)),
    ("late", 96, "resnet50", (480, 640)),
    ("fcanet", 256, "res2net101_v1b_strided", (384, 512)),
)
CLICKS, PASSES, ROBOTS, SAMPLES = 8, 3, 20, 60


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Median processor time of one call of work(index)."""
    times = []
    for index in range(count):
        start = time.process_time()
        work(index)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def clicks() -> None:
    print("a click on a picture (width x height), deployed, with the mask in the picture's size")
    for name, channels, backbone, size in NETWORKS:
        options = ModelConfig(network=name, channels=channels)  # type: ignore[arg-type]
        torch.manual_seed(0)
        model = deploy(build(Config(backbone=backbone, model=options)).eval())
        images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
        firsts, others = [], []
        with torch.inference_mode():
            for _ in range(PASSES + 1):
                start = time.process_time()
                session = begin(model, Features(size, size, see(model, images)), ScoringConfig())
                session.click(size[1] // 2, size[0] // 2)
                firsts.append(1000 * (time.process_time() - start))
                places = range(CLICKS if name == "late" else 1)
                others.append(
                    milliseconds(lambda x, one=session: one.click(7 * x + 3, 9), len(places))
                )
        first, other = statistics.median(firsts[1:]), statistics.median(others[1:])
        share = other / first
        verdict = "" if name != "late" else "  within" if share <= LIMIT else "  ABOVE"
        verdict += f" the limit of {LIMIT}" if verdict else ""
        print(
            f"{name:7}{backbone:24}{size[1]}x{size[0]}  first {first:7.1f} ms  further {other:7.1f}"
            f" ms  share {share:.2f}{verdict}"
        )


def plain(mask: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """The place of the larger mistake's deepest pixel, by distances of the whole picture."""
    best = [
        distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        for wrong in (truth & ~mask, mask & ~truth)
    ]
    chosen = best[0] if best[0].max() > best[1].max() else best[1]
    y, x = divmod(int(chosen.argmax()), mask.shape[1])
    return x, y


def robot() -> None:
    rows, columns = np.mgrid[:480, :640]
    truth = (rows - 240) ** 2 + (columns - 300) ** 2 < 130**2
    masks = [
        (rows - 240 - 3 * seed) ** 2 + (columns - 300 + 5 * seed) ** 2 < 125**2
        for seed in range(ROBOTS)
    ]
    nothing = np.zeros_like(truth)
    for mask in masks:
        click = next_click(mask, truth, nothing, ())
        assert click is not None and (click.x, click.y) == plain(mask, truth)
    ours = milliseconds(lambda index: next_click(masks[index], truth, nothing, ()), ROBOTS)
    scipy = milliseconds(lambda index: plain(masks[index], truth), ROBOTS)
    print("\nthe robot's next click on a picture of 640x480")
    print(f"this {ours:6.2f} ms   SciPy {scipy:6.2f} ms   ratio {scipy / ours:.1f}")


def loader(root: Path) -> None:
    sample.write(root, train=30, val=1)
    config = Config(data=DataConfig(root=root))
    samples = TrainSet(read(config, "train"), config)
    count = len(samples)
    one = milliseconds(
        lambda index: samples.sample(index % count, generator_for(0, 0, index)), SAMPLES
    )
    print(f"\na training sample of the default run, crop {config.data.crop_size}: {one:.1f} ms")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clicks()
    robot()
    with TemporaryDirectory() as folder:
        loader(Path(folder) / "set")


if __name__ == "__main__":
    main()
