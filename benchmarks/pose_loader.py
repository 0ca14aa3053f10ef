"""Speed of the pose loader on one core: `python -m benchmarks.pose_loader [COCO_ROOT]`."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from common.reading import image as pictures
from common.training.sampling import generator_for
from tasks.pose.config import DataConfig
from tasks.pose.data import ScoringSet, TrainSet, read_coco
from tasks.pose.sample import sample_set

RECIPE = DataConfig(input_size=(256, 192), padding=1.25, sigma=2, half_body_probability=0.3)
SAMPLES = 300


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Median time of one call of work(index); the median is blind to a busy machine's pauses."""
    times = []
    for index in range(count):
        start = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def loader(root: Path | None = None) -> None:
    """Print samples per second, and what a sample costs beyond decoding its picture."""
    cv2.setNumThreads(1)
    annotations = read_coco(root or sample_set(), "train2017")
    count = min(SAMPLES, len(annotations))
    train, test = TrainSet(annotations, RECIPE), ScoringSet(annotations, RECIPE)
    paths = [annotations.images[int(number)] for number in annotations.image_ids[:count]]
    stored = [path.read_bytes() for path in paths]  # Also warms the disk's cache.
    print(f"{count} persons of {annotations.file.parents[1]}, input 256x192, one core")
    decode = milliseconds(lambda index: pictures.read(paths[index]), count)
    sample = milliseconds(lambda index: train.sample(index, generator_for(0, 0, index)), count)
    upright = milliseconds(lambda index: test[index], count)
    size = sum(map(len, stored)) / count / 1000
    print(f"decoding a JPEG of {size:.0f} kB    {decode:6.2f} ms")
    print(f"training sample            {sample:6.2f} ms   {1000 / sample:5.0f} samples/s")
    print(f"test sample                {upright:6.2f} ms   {1000 / upright:5.0f} samples/s")
    crop, targets = upright - decode, sample - upright
    print(
        f"crop beyond decoding       {crop:6.2f} ms   limit 1 ms; {crop / decode:.2f} of decoding"
    )
    print(f"augmentation and targets   {targets:6.2f} ms")


if __name__ == "__main__":
    loader(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
