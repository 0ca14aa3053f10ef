"""``python -m benchmarks.pose_decoding``: decoding and suppression of 5,000 persons.

Compares with plain loops in NumPy: over persons and joints for the maximum and the quarter offset,
over pairs of persons for the suppression. Both sides are checked to agree; each row has a ratio.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tasks.pose.metrics import decode
from tasks.pose.skeleton import COCO
from tasks.pose.suppression import oks_nms

PERSONS, PICTURES, BATCH = 5000, 500, 100
REPEATS = 3
HEIGHT, WIDTH = 64, 48


def loop_decode(heatmaps: np.ndarray) -> np.ndarray:
    """Points (N, J, 2): one person and one joint after the other."""
    persons, joints = heatmaps.shape[:2]
    points = np.zeros((persons, joints, 2), dtype=np.float32)
    for person in range(persons):
        for joint in range(joints):
            heatmap = heatmaps[person, joint]
            place = int(np.argmax(heatmap))
            x, y = place % WIDTH, place // WIDTH
            if heatmap[y, x] <= 0:
                continue
            points[person, joint] = x, y
            if 1 < x < WIDTH - 1 and 1 < y < HEIGHT - 1:
                slope = (
                    heatmap[y, x + 1] - heatmap[y, x - 1],
                    heatmap[y + 1, x] - heatmap[y - 1, x],
                )
                points[person, joint] += 0.25 * np.sign(slope)
    return points


def loop_nms(points: np.ndarray, scores: np.ndarray, areas: np.ndarray) -> list[int]:
    """Indices of the persons to keep: one similarity after the other."""
    spreads = (2 * np.array(COCO.sigmas)) ** 2
    order = list(np.argsort(-scores, kind="stable"))
    kept = []
    while order:
        best = order.pop(0)
        kept.append(int(best))
        left = []
        for other in order:
            square = ((points[best] - points[other]) ** 2).sum(axis=1)
            area = (areas[best] + areas[other]) / 2 + np.spacing(1)
            if np.mean(np.exp(-square / (2 * spreads * area))) <= 0.9:
                left.append(other)
        order = left
    return kept


def seconds(function: Callable[[], Any]) -> float:
    """Least time of a few runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def row(name: str, ours: float, loops: float | None = None) -> None:
    ratio = f"{loops:10.3f} s {loops / ours:8.1f} x" if loops is not None else ""
    print(f"{name:34}{ours:10.3f} s{ratio}")


def compare_decoding() -> None:
    # A batch of maps is decoded as it leaves the network, so a batch is timed again and again.
    maps = torch.rand(BATCH, COCO.joints, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(decode(maps)[0].numpy(), loop_decode(maps.numpy()))
    batches = range(PERSONS // BATCH)
    loops = seconds(lambda: [loop_decode(maps.numpy()) for _ in batches])
    row("decode, published", seconds(lambda: [decode(maps) for _ in batches]), loops)
    row("decode, unbiased", seconds(lambda: [decode(maps, unbiased=True) for _ in batches]))


def compare_nms() -> None:
    generator = np.random.default_rng(0)
    each = PERSONS // PICTURES
    base = generator.uniform(0, 300, (PICTURES, each, COCO.joints, 2))
    # Half of the persons are found twice.
    base[:, each // 2 :] = base[:, : each - each // 2] + generator.normal(
        size=(PICTURES, each - each // 2, COCO.joints, 2)
    )
    scores, areas = generator.random((2, PICTURES, each))
    areas = 2e4 + 1e4 * areas
    sigmas = np.array(COCO.sigmas)
    pictures = list(zip(base, scores, areas, strict=True))
    for points, score, area in pictures[:50]:
        assert oks_nms(points, score, area, sigmas).tolist() == loop_nms(points, score, area)
    loops = seconds(lambda: [loop_nms(*picture) for picture in pictures])
    row("OKS-NMS", seconds(lambda: [oks_nms(*picture, sigmas) for picture in pictures]), loops)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{PERSONS:,} persons in {PICTURES} pictures, maps {HEIGHT} x {WIDTH}, one CPU thread")
    print(f"{'':34}{'this':>12}{'loops':>12}{'ratio':>10}")
    compare_decoding()
    compare_nms()


if __name__ == "__main__":
    main()
