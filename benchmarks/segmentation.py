"""``python -m benchmarks.segmentation [VOC_ROOT]``: the speed of the segmentation task's own parts.

The confusion matrix beside torchmetrics, both counting the same; then the loader on one core, on
the sample set or on a set of one's own.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from scipy.io import savemat
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from common.commands.confusion import confusion_matrix, mean_scores
from common.reading import image
from common.training.sampling import generator_for
from tasks.segmentation.config import Config, DataConfig
from tasks.segmentation.data import ScoringSet, TrainSet, read, with_classes
from tasks.segmentation.labels import LabelReader
from tasks.segmentation.sample import sample_set

PICTURES, SIDE = 4, 513
REPEATS = 20
SAMPLES = 200
RECIPE = {"crop_size": (513, 513), "short_side": 513, "scales": (0.5, 2.0), "blur_probability": 0.5}


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Median time of one call of work(index); the median is blind to a busy machine's pauses."""
    times = []
    for index in range(count):
        start = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def blobs(classes: int, seed: int) -> np.ndarray:
    """Label maps (PICTURES, SIDE, SIDE) with regions of the size that things have."""
    coarse = np.random.default_rng(seed).integers(0, classes, (PICTURES, 12, 12), dtype=np.uint8)
    size = (SIDE, SIDE)
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in coarse])


def compare_metric(classes: int) -> None:
    labels, predicted = blobs(classes, 0), blobs(classes, 1)
    predicted[:, ::2] = labels[:, ::2]
    labels[:, :, :9] = 255
    pair = torch.from_numpy(predicted).long(), torch.from_numpy(labels).long()
    options = {"num_classes": classes, "ignore_index": 255, "validate_args": False}
    theirs, jaccard = MulticlassConfusionMatrix(**options), MulticlassJaccardIndex(**options)
    counts = confusion_matrix(labels, predicted, classes)
    assert np.array_equal(theirs(*pair).numpy(), counts)
    assert abs(float(jaccard(*pair)) - mean_scores(counts)["mIoU"]) < 1e-6
    ours = milliseconds(lambda _: confusion_matrix(labels, predicted, classes), REPEATS)
    other = milliseconds(lambda _: theirs.update(*pair), REPEATS)
    print(f"{classes:3} classes{ours:18.1f} ms{other:15.1f} ms{other / ours:9.1f} x")


def loader(root: Path) -> None:
    """Print samples per second, and what a sample costs beyond decoding its files."""
    config = with_classes(Config(data=DataConfig(root=root, **RECIPE)))
    split = read(config, "train")
    count = min(SAMPLES, len(split))
    train, test = TrainSet(split, config.data), ScoringSet(split, "stop")
    height, width = split.read(0).label.shape
    print(f"{count} pictures of {root}, the first {width}x{height}; crop 513x513, one core")
    picture = milliseconds(lambda index: image.read(split.pairs[index].image), count)
    label = milliseconds(lambda index: split.reader.read(split.pairs[index].label), count)
    sample = milliseconds(lambda index: train.sample(index, generator_for(0, 0, index)), count)
    whole = milliseconds(lambda index: test[index], count)
    print(f"decoding a picture         {picture:6.2f} ms")
    print(f"decoding its label map     {label:6.2f} ms")
    print(f"training sample            {sample:6.2f} ms   {1000 / sample:5.0f} samples/s")
    print(f"test sample                {whole:6.2f} ms   {1000 / whole:5.0f} samples/s")


def label_files() -> None:
    """A label map of VOC's size as SBD stores it."""
    labels = cv2.resize(blobs(21, 0)[0], (500, 375), interpolation=cv2.INTER_NEAREST)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.mat"
        savemat(file, {"GTcls": {"Segmentation": labels}}, do_compression=True)
        mat = milliseconds(lambda _: LabelReader(21).read(file), 50)
    print(f"a label map of SBD (.mat)  {mat:6.2f} ms")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"confusion matrix of {PICTURES} label maps {SIDE} x {SIDE}, one CPU thread")
    print(f"{'':11}{'this':>21}{'torchmetrics':>18}{'ratio':>11}")
    for classes in (7, 21, 150):
        compare_metric(classes)
    print()
    loader(Path(sys.argv[1]) if len(sys.argv) > 1 else sample_set())
    label_files()


if __name__ == "__main__":
    main()
