"""``python -m benchmarks.depth [ROOT]``: the speed of the depth task's own parts.

Scores of as many maps as NYU's test set has, beside the plainest code for the same; the loader, on
generated pictures of NYU's size or on a set of one's own; a picture through the networks, plain and
deployed. One CPU thread, processor time.
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

from backbone import deploy
from common.reading import image
from common.training.sampling import generator_for
from tasks.depth import metrics
from tasks.depth.config import Config, DataConfig, ModelConfig
from tasks.depth.data import ScoringSet, TrainSet, read
from tasks.depth.metrics import Range
from tasks.depth.model import build

PICTURES, SIZE = 654, (480, 640)
LIMITS, LIMIT_SECONDS = Range(0.001, 10.0), 5.0
SAMPLES, PASSES = 30, 5
RECIPE = {
    "border": (45, 43, 8, 32), "crop_size": (416, 544), "rotation": 2.5,
}  # fmt: skip
NETWORKS = (
    ("light", 32, "res2net26_14w_4s_half"),
    ("light", 32, "res2net50_26w_4s"),
    ("fusion", 512, "res2net50_26w_4s"),
    ("bts", 512, "res2net50_26w_4s"),
    ("bts", 512, "resnet50"),
)


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Median processor time of one call of work(index)."""
    times = []
    for index in range(count):
        start = time.process_time()
        work(index)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def surface(seed: int) -> np.ndarray:
    """Metres (480, 640), float32, smooth, from 0.7 to 9."""
    coarse = np.random.default_rng(seed).uniform(0.7, 9, (6, 8)).astype(np.float32)
    return cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_LINEAR)


def plain(gt: np.ndarray, pred: np.ndarray) -> list[float]:
    """The nine scores as their definitions stand in papers."""
    thresh = np.maximum(gt / pred, pred / gt)
    err = np.log(pred) - np.log(gt)
    return [
        np.mean(np.abs(gt - pred) / gt),
        np.mean((gt - pred) ** 2 / gt),
        np.sqrt(np.mean((gt - pred) ** 2)),
        np.sqrt(np.mean((np.log(gt) - np.log(pred)) ** 2)),
        np.mean(np.abs(np.log10(pred) - np.log10(gt))),
        np.sqrt(np.mean(err**2) - np.mean(err) ** 2) * 100,
        *(np.mean(thresh < 1.25**power) for power in (1, 2, 3)),
    ]


def scores() -> None:
    truths, found = [surface(seed) for seed in range(8)], [surface(seed) for seed in range(8, 16)]
    for truth in truths:
        truth[:40, :200] = 0

    def ours(index: int) -> np.ndarray:
        truth, depth = truths[index % 8], found[index % 8]
        inside = metrics.valid(truth, "eigen_nyu", LIMITS)
        return metrics.measure(truth[inside], metrics.clipped(depth[inside], LIMITS))

    def papers(index: int) -> list[float]:
        truth, depth = truths[index % 8], found[index % 8].copy()
        depth = np.clip(depth, *LIMITS)
        crop = np.zeros(SIZE, bool)
        crop[45:471, 41:601] = True
        inside = crop & (truth > LIMITS.least) & (truth < LIMITS.greatest)
        return plain(truth[inside].astype(np.float64), depth[inside].astype(np.float64))

    assert np.allclose(ours(0), papers(0))
    begun = time.process_time()
    for index in range(PICTURES):
        ours(index)
    seconds = time.process_time() - begun
    other = PICTURES * milliseconds(papers, 40) / 1000
    print(f"scores of {PICTURES} maps {SIZE[1]}x{SIZE[0]} inside of Eigen's crop")
    verdict = "within" if seconds <= LIMIT_SECONDS else "ABOVE"
    print(f"this   {seconds:5.2f} s   {verdict} the limit of {LIMIT_SECONDS:g} s")
    print(f"plain  {other:5.2f} s   ratio {other / seconds:.1f}")


def write(root: Path) -> Path:
    """A set in the layout of lists, of NYU's size."""
    lines = []
    for number in range(8):
        coarse = np.random.default_rng(number).integers(0, 256, (40, 53, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        image.write(root / f"{number}.jpg", picture)
        image.write(root / f"{number}.png", (1000 * surface(number)).astype(np.uint16))
        lines.append(f"{number}.jpg {number}.png 518.8579\n")
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("".join(lines))
    return root


def loader(root: Path) -> None:
    config = Config(data=DataConfig(root=root, **RECIPE))
    split = read(config, "train")
    train, test = TrainSet(split, config.data), ScoringSet(split, config)
    pair, count = split.pairs[0], len(split)
    picture = milliseconds(lambda _: image.read(pair.image), SAMPLES)
    depth = milliseconds(lambda _: image.stored(pair.label), SAMPLES)
    sample = milliseconds(
        lambda index: train.sample(index % count, generator_for(0, 0, index)), SAMPLES
    )
    whole = milliseconds(lambda index: test[index % count], SAMPLES)
    print(f"\nloader, {count} pictures of {root}, crop {RECIPE['crop_size']}")
    print(f"decoding a picture      {picture:6.1f} ms")
    print(f"decoding its depth map  {depth:6.1f} ms")
    print(f"training sample         {sample:6.1f} ms   {1000 / sample:5.1f} samples/s")
    print(f"sample to be scored     {whole:6.1f} ms   {1000 / whole:5.1f} samples/s")


def networks() -> None:
    print(f"\na picture of {SIZE[1]}x{SIZE[0]} through the network")
    picture = torch.randint(0, 256, (1, 3, *SIZE), dtype=torch.uint8)
    for decoder, channels, backbone in NETWORKS:
        options = ModelConfig(decoder=decoder, channels=channels)
        model = build(Config(backbone=backbone, model=options)).eval()
        size = sum(one.numel() for one in model.parameters()) / 1e6
        with torch.inference_mode():
            slow = milliseconds(lambda _, net=model: net(picture), PASSES)
            fast = deploy(model)
            fast(picture)
            quick = milliseconds(lambda _, net=fast: net(picture), PASSES)
        print(
            f"{decoder:7}{backbone:23}{size:6.1f} M  plain {slow:7.0f} ms  deployed {quick:7.0f} ms"
            f"  ratio {slow / quick:.2f}"
        )


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    scores()
    if len(sys.argv) > 1:
        loader(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as folder:
            loader(write(Path(folder)))
    networks()


if __name__ == "__main__":
    main()
