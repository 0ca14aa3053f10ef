"""``python -m benchmarks.classification [IMAGEFOLDER]``: loader beside torchvision's, and engine.

Pictures per second on one core of this loader and of torchvision's ImageFolder, with the same crops
of the same pictures (JPEGs of 500x375 pixels from scikit-image's photographs, or a folder of one's
own) in the published recipe: RandomResizedCrop to 224, mirror image, bytes (3, 224, 224). Both are
asked for the same pictures in turns; the time is the process's own. Then the steps per second of
the engine with the loader, the loss and the network of the sample run.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as F

from common.reading import image
from common.sample import backgrounds
from common.training import optim
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import Engine, EngineConfig, TrainData
from common.training.sampling import generator_for
from tasks.classification import folders, pack, shards
from tasks.classification.config import Config, DataConfig
from tasks.classification.data import TrainSet, read_splits
from tasks.classification.model import build
from tasks.classification.train import ClassificationTask
from tasks.classification.transforms import random_box

WIDTH, HEIGHT, PICTURES = 500, 375, 120
ROUNDS = 7
STEPS = 30


class SameCrop:
    """torchvision's transforms of the recipe, on a given crop."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.index = 0

    def __call__(self, picture: Any) -> torch.Tensor:
        """Bytes (3, S, S) of the crop for self.index."""
        generator = generator_for(0, 0, self.index)
        box = random_box(*picture.size, self.config.scale, self.config.ratio, generator)
        size = [self.config.input_size, self.config.input_size]
        crop = F.resized_crop(picture, box.y, box.x, box.height, box.width, size)
        if generator.random() < self.config.flip_probability:
            crop = F.hflip(crop)
        return F.pil_to_tensor(crop)


def write_pictures(folder: Path) -> Path:
    """An ImageFolder tree of parts of photographs, at the mean size of ImageNet's pictures."""
    for name, photograph in backgrounds().items():
        place = folder / "train" / name
        place.mkdir(parents=True)
        generator = np.random.default_rng(0)
        for number in range(PICTURES // len(backgrounds())):
            scale = max(HEIGHT / photograph.shape[0], WIDTH / photograph.shape[1])
            scale *= generator.uniform(1.0, 1.3)
            grown = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            y = int(generator.integers(0, grown.shape[0] - HEIGHT + 1))
            x = int(generator.integers(0, grown.shape[1] - WIDTH + 1))
            part = grown[y : y + HEIGHT, x : x + WIDTH]
            image.write(place / f"{number}.jpg", np.ascontiguousarray(part))
    return folder


def seconds(work: Callable[[int], object], count: int) -> float:
    """Processor time of one call of work(index)."""
    start = time.process_time()
    for index in range(count):
        work(index)
    return (time.process_time() - start) / count


def compare(root: Path, size: int) -> None:
    """Print pictures per second of both loaders, and the ratio."""
    recipe = {"input_size": size, "scale": (0.08, 1.0)}
    pictures = folders.read(root, "train", None)
    same = SameCrop(DataConfig(**recipe))
    theirs = ImageFolder(root / "train", same)
    count = min(PICTURES, len(pictures))

    def torchvisions(index: int) -> object:
        same.index = index
        return theirs[index]

    loaders: dict[str, Callable[[int], object]] = {"torchvision": torchvisions}
    for decoding in ("exact", "fast"):
        ours = TrainSet(pictures, DataConfig(**recipe, decoding=decoding))
        loaders[decoding] = lambda index, ours=ours: ours.sample(index, generator_for(0, 0, index))
    with tempfile.TemporaryDirectory() as folder:
        pack.write(pictures, Path(folder) / "train", 1000, 0)
        packed = TrainSet(shards.read(Path(folder), "train", None), DataConfig(**recipe))
        loaders["fast, shards"] = lambda index: packed.sample(index, generator_for(0, 0, index))
        check(loaders, count)
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(ROUNDS):
            for name, loader in loaders.items():
                times[name].append(seconds(loader, count))
    print(f"{count} pictures of {root}, to {size}x{size}, one core")
    for name, measured in times.items():
        ratio = statistics.median(np.divide(times["torchvision"], measured))
        rate = 1 / statistics.median(measured)
        print(f"{name:14} {rate:7.0f} pictures/s  {ratio:5.2f} x torchvision")


def check(loaders: dict[str, Callable[[int], Any]], count: int) -> None:
    """Both loaders must show the same crops: exact ones bit for bit, fast ones nearly."""
    differences = []
    for index in range(count):
        expected = loaders["torchvision"](index)[0].numpy()
        assert np.array_equal(loaders["exact"](index)["image"], expected)
        fast = loaders["fast"](index)["image"].astype(int)
        differences.append(np.abs(fast - expected).mean())
    print(f"fast differs from torchvision by {np.mean(differences):.2f} grey levels in the mean")


def engine() -> None:
    """Print the steps per second of the sample run, but for the first ones, and their work."""
    config = Config()
    training, validation = read_splits(config)
    size = config.engine.batch_size
    model = build(config.backbone, len(training.classes), config.model)
    task = ClassificationTask(config, validation, World())
    task.evaluate = lambda _: {"top1": 0.0}  # the steps are timed
    dataset = TrainSet(training, config.data)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder), "")
        trainer = Engine(
            config=EngineConfig(epochs=1, batch_size=size, log_every=5),
            world=World(),
            run=run,
            model=model,
            optimizer=optim.build(model, config.optimizer),
            schedule=lambda _: 1e-3,
            task=task,
            data=TrainData(dataset, lambda _: range(STEPS * size), config.loader.workers),
        )
        start = time.process_time()
        trainer.fit(resume=False)
        work = (time.process_time() - start) / STEPS
        lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    rates = [line["samples_per_second"] for line in lines if "samples_per_second" in line]
    rate = statistics.median(rates[1:])
    print(
        f"engine: {rate / size:.2f} steps of {size} pictures/s, {rate:.0f} pictures/s, "
        f"{config.backbone} at {config.data.input_size} pixels, {torch.get_num_threads()} threads; "
        f"{work:.2f} s of processor time a step, the loader's worker aside"
    )


def main() -> None:
    cv2.setNumThreads(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else write_pictures(Path(folder))
        for size in (224, 128):
            compare(root, size)
            print()
    torch.set_num_threads(threads)
    engine()


if __name__ == "__main__":
    main()
