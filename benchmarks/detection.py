"""Speed of the detection loader on one core: ``python -m benchmarks.detection [COCO_ROOT]``.

Training samples with boxes and with masks at the published size (short side 800, long side 1333),
beside the same work done by torchvision's own parts, as its reference scripts do it: masks drawn by
pycocotools at the stored size, then resized together with the picture. On the sample set, or on
the split train2017 of a set of one's own.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms.v2 import functional as F

from common.reading import image as pictures
from common.reading.outlines import as_coco
from common.training.sampling import generator_for
from tasks.detection.annotations import Annotations
from tasks.detection.config import Config, DataConfig
from tasks.detection.data import ScoringSet, TrainSet, read
from tasks.detection.transforms import View, draw, fitted

RECIPE = DataConfig(short_sides=(800,), test_short_side=800)
JITTER = replace(RECIPE, jitter=(0.1, 2.0), crop_size=(1024, 1024))
SAMPLES = 300


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Mean processor time of a call of work(index), which a busy machine disturbs least."""
    work(0)
    start = time.process_time()
    for index in range(count):
        work(index)
    return 1000 * (time.process_time() - start) / count


class Reference:
    """A training sample as torchvision's reference scripts and models make it."""

    def __init__(self, dataset: TrainSet) -> None:
        self.dataset = dataset
        self.transform = GeneralizedRCNNTransform(800, 1333, [0.0] * 3, [1.0] * 3)

    def sample(self, index: int) -> object:
        """Picture and targets, resized."""
        annotations, row = self.dataset.annotations, int(self.dataset.rows[index])
        with Image.open(annotations.images[row]) as stored:
            image = F.to_dtype(F.pil_to_tensor(stored.convert("RGB")), torch.float32, scale=True)
        objects = annotations.objects(row)
        kept = np.flatnonzero(~objects.crowd)
        target = {
            "boxes": torch.as_tensor(objects.boxes[kept], dtype=torch.float32),
            "masks": drawn(annotations, row),
        }
        if index % 2:
            image, target["masks"] = image.flip(-1), target["masks"].flip(-1)
        return self.transform.resize(image, target)


def drawn(annotations: Annotations, row: int) -> torch.Tensor:
    """Masks (N, H, W) at the stored size, one object after the other."""
    height, width = annotations.sizes[row].tolist()
    objects, masks = annotations.objects(row), []
    for place in np.flatnonzero(~objects.crowd):
        written = as_coco(objects.outlines[place], (height, width))
        parts = coco_mask.frPyObjects(written, height, width)
        mask = torch.as_tensor(coco_mask.decode(parts if isinstance(parts, list) else [parts]))
        masks.append(mask.any(dim=2))
    return torch.stack(masks).to(torch.uint8)


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    annotations = read(Config(data=replace(RECIPE, root=root)), "train2017")
    print(annotations.summary())
    with_masks = TrainSet(annotations, RECIPE)
    boxes = TrainSet(annotations, replace(RECIPE, masks=False))
    count = min(SAMPLES, len(with_masks))
    print(f"{count} training samples, short side 800, one core, processor time")
    decode = milliseconds(lambda index: pictures.read(annotations.images[index]), count)
    print(f"decoding a JPEG                        {decode:7.2f} ms")
    found = {
        "boxes": boxes,
        "boxes and masks": with_masks,
        "large-scale jitter to 1024x1024": TrainSet(annotations, JITTER),
        "the same with copy-paste": TrainSet(
            annotations, replace(JITTER, copy_paste_probability=1.0)
        ),
    }
    milliseconds(sampled(with_masks), count)  # memory that was never touched is slow
    times = {name: milliseconds(sampled(dataset), count) for name, dataset in found.items()}
    for name, each in times.items():
        print(f"sample: {name:31}{each:7.2f} ms  {1000 / each:5.0f} samples/s")
    whole = milliseconds(ScoringSet(annotations, RECIPE).__getitem__, count)
    print(f"test sample                            {whole:7.2f} ms  {1000 / whole:5.0f} samples/s")
    compare(with_masks, times["boxes and masks"], count)


def compare(dataset: TrainSet, ours: float, count: int) -> None:
    """Print what torchvision's parts take for the same, whole and for the masks alone."""
    theirs = milliseconds(Reference(dataset).sample, count)
    print(
        f"boxes and masks by torchvision's parts {theirs:7.2f} ms, {theirs / ours:.1f} times ours"
    )
    annotations, rows = dataset.annotations, dataset.rows
    views = [
        View(size, fitted(size, 800, 1333))
        for size in (tuple(annotations.sizes[row].tolist()) for row in rows)
    ]

    def own(index: int) -> object:
        objects = annotations.objects(int(rows[index]))
        kept = np.flatnonzero(~objects.crowd)
        return draw([objects.outlines[place] for place in kept], views[index])

    def plain(index: int) -> object:
        height, width = views[index].size
        masks = drawn(annotations, int(rows[index]))[:, None].float()
        return torch.nn.functional.interpolate(masks, (height, width))[:, 0].byte()

    one, other = milliseconds(own, count), milliseconds(plain, count)
    objects = statistics.mean(len(annotations.objects(int(row))) for row in rows[:count])
    print(
        f"masks alone, {objects:.1f} objects a picture: {one:.2f} ms, drawn and then resized "
        f"{other:.2f} ms, {other / one:.1f} times ours"
    )


def sampled(dataset: TrainSet) -> Callable[[int], object]:
    return lambda index: dataset.sample(index, generator_for(0, 0, index))


if __name__ == "__main__":
    main()
