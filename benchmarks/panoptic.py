"""``python -m benchmarks.panoptic``: the speed of the panoptic task's own parts.

PQ of as many pictures as COCO's val2017 has, from maps in memory and from PNG files, beside hotcoco
on the same files where it is installed; the loader; a picture through the network. Processor time
of one thread, but for the two processes that score the files.
"""

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import torch

from backbone import deploy
from common.training.sampling import generator_for
from tasks.panoptic import sample
from tasks.panoptic.annotations import Segments
from tasks.panoptic.config import Config, DataConfig, ModelConfig
from tasks.panoptic.data import ScoringSet, TrainSet, read
from tasks.panoptic.evaluate import true_segments
from tasks.panoptic.inference import segment
from tasks.panoptic.maps import read_ids, read_places, write_ids
from tasks.panoptic.metrics import Segment, Tally, compare, scores
from tasks.panoptic.model import build

PICTURES, KINDS, SIZE = 5000, 40, (480, 640)
LIMIT_SECONDS = 60.0
CLASSES, THINGS = 133, 80
SAMPLES, PASSES = 40, 5


class Maps(NamedTuple):
    """A truth and a prediction."""

    truth: np.ndarray
    named: dict[int, int]
    """Class of each annotated segment."""
    found: np.ndarray
    guessed: dict[int, int]
    """Class of each segment that was found."""
    segments: Segments
    """What the annotation file says of the truth."""


def milliseconds(work: Callable[[int], object], count: int) -> float:
    """Median processor time of one call of work(index)."""
    times = []
    for index in range(count):
        start = time.process_time()
        work(index)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def cells(seed: int, shift: int) -> tuple[np.ndarray, dict[int, int]]:
    """A map (480, 640) of 12 segments with wavy borders and void, and the class of each."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = 9 * np.sin(columns / 23) + 9 * np.cos(rows / 17)
    points = generator.uniform(0, 1, (13, 2)) * SIZE
    apart = [(rows - y + waves) ** 2 + (columns - x - shift) ** 2 for y, x in points]
    place = np.argmin(apart, axis=0)
    ids = np.concatenate([[0], generator.choice(2**24 - 1, 12, replace=False) + 1])
    labels = dict(zip(ids[1:].tolist(), generator.integers(0, CLASSES, 12).tolist(), strict=True))
    return ids[place].astype(np.int32), labels


def maps(number: int) -> Maps:
    """A truth and a prediction that is a little beside it."""
    truth, named = cells(number, 0)
    found, _ = cells(number, 12)
    segments = Segments(
        np.array(list(named)),
        np.array(list(named.values())) + 1,
        np.array([np.count_nonzero(truth == key) for key in named]),
        np.zeros(len(named), bool),
    )
    guessed = {key: label for key, label in named.items() if np.any(found == key)}
    return Maps(truth, named, found, guessed, segments)


def tally(one: Maps) -> Tally:
    true = {
        key: Segment(label, int(area))
        for (key, label), area in zip(one.named.items(), one.segments.areas, strict=True)
    }
    return compare(one.truth, true, one.found, one.guessed, CLASSES)


def write(folder: Path) -> list[Maps]:
    """The maps as PNG files with their JSON files, in COCO's form; every kind many times."""
    every = [maps(number) for number in range(KINDS)]
    for name, sides in (
        ("truth", [(one.truth, one.named) for one in every]),
        ("found", [(one.found, one.guessed) for one in every]),
    ):
        (folder / name).mkdir()
        annotations = []
        for number, (ids, labels) in enumerate(sides):
            write_ids(folder / name / f"{number}.png", ids)
            segments = [
                {"id": key, "category_id": label + 1, "iscrowd": 0,
                 "area": int(np.count_nonzero(ids == key)), "bbox": [0, 0, 1, 1]}
                for key, label in labels.items()
            ]  # fmt: skip
            annotations.append({"file_name": f"{number}.png", "segments_info": segments})
        content = {
            "images": [
                {"id": index, "file_name": f"{index}.jpg", "height": SIZE[0], "width": SIZE[1]}
                for index in range(PICTURES)
            ],
            "annotations": [
                {"image_id": index, **annotations[index % KINDS]} for index in range(PICTURES)
            ],
            "categories": [
                {"id": label + 1, "name": str(label), "isthing": int(label < THINGS)}
                for label in range(CLASSES)
            ],
        }
        (folder / f"{name}.json").write_text(json.dumps(content))
    return every


def part(folder: Path, every: list[Maps], indices: range) -> Tally:
    """The pictures of some numbers, from their files."""
    cv2.setNumThreads(1)
    total = Tally.empty(CLASSES)
    for index in indices:
        number = index % KINDS
        one, path = every[number], folder / "truth" / f"{number}.png"
        places = read_places(path, one.segments.ids, SIZE, path).astype(np.int32)
        found = read_ids(folder / "found" / f"{number}.png")
        true = true_segments(one.segments, places)
        total = total.plus(compare(places, true, found, one.guessed, CLASSES))
    return total


def quality(folder: Path) -> None:
    every = write(folder)
    alone = milliseconds(lambda index: tally(every[index % KINDS]), SAMPLES)
    print(f"PQ of {PICTURES:,} pictures {SIZE[1]}x{SIZE[0]} of 12 segments")
    print(f"maps in memory           {alone:6.1f} ms a picture")
    read = milliseconds(lambda index: part(folder, every, range(index, index + 1)), SAMPLES)
    print(
        f"PNG files, one process   {read:6.1f} ms a picture, {PICTURES * read / 1000:.1f} s for all"
    )
    halves = [range(0, PICTURES // 2), range(PICTURES // 2, PICTURES)]
    begun = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(part, [folder] * 2, [every] * 2, halves))
    seconds = time.perf_counter() - begun
    verdict = "within" if seconds <= LIMIT_SECONDS else "ABOVE"
    print(f"PNG files, two processes {seconds:6.1f} s   {verdict} the limit of {LIMIT_SECONDS:g} s")
    own = scores(parts[0].plus(parts[1]), [label < THINGS for label in range(CLASSES)])["PQ"]
    try:
        from hotcoco import panoptic
    except ImportError:
        print("hotcoco is not installed")
        return
    begun = time.perf_counter()
    told = panoptic.pq_compute(str(folder / "truth.json"), str(folder / "found.json"))
    print(f"hotcoco, all cores       {time.perf_counter() - begun:6.1f} s")
    print(f"PQ {own:.9f}, hotcoco {told['All']['pq']:.9f}")


def loader(folder: Path) -> None:
    sample.write(folder, train=SAMPLES, val=4)
    for sides in ((96,), (800,)):
        data = DataConfig(root=folder, short_sides=sides, test_short_side=sides[0])
        split = read(Config(data=data), "train2017")
        train, test = TrainSet(split, data), ScoringSet(split, data)
        one = milliseconds(lambda at, s=train: s.sample(at, generator_for(0, 0, at)), SAMPLES)
        whole = milliseconds(lambda at, s=test: s[at], SAMPLES)
        print(f"short side {sides[0]:3}: training sample {one:5.1f} ms, scored one {whole:5.1f} ms")


def network() -> None:
    print("\na picture of 800x1088 through the network and the combination, 133 classes")
    picture, size = torch.randint(0, 256, (1, 3, 800, 1088)), torch.tensor([[800, 1088]])
    data = DataConfig(things=tuple(map(str, range(80))), stuff=tuple(map(chr, range(97, 150))))
    options = ModelConfig(
        channels=256, box_channels=1024, semantic_channels=128, proposals=(2000, 1000),
        conventions="mmdetection",
    )  # fmt: skip
    config = Config(backbone="res2net50_v1b", model=options, data=data)
    model = build(config, 80, 53).eval()
    for name, one in (("plain", model), ("deployed", deploy(model))):
        with torch.inference_mode():
            each = milliseconds(lambda _, n=one: segment(n, picture, size, size, config), PASSES)
        print(f"{name:9}{each / 1000:6.2f} s")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        quality(Path(folder))
    with TemporaryDirectory() as folder:
        print("\nloader, generated pictures")
        loader(Path(folder))
    network()


if __name__ == "__main__":
    main()
