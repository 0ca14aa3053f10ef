"""``python -m benchmarks.detection_scoring [ROOT SPLIT]``: COCO's evaluation, two scorers.

pycocotools beside hotcoco on the same 5,000 pictures of made-up objects and detections, boxes and
masks; both must say the same to the last bit. Before that, what is annotated in a data set (the
sample set, or ROOT in COCO's layout) is given back as if it had been found.
"""

import sys
import time
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from tasks.detection.config import Config, DataConfig
from tasks.detection.data import read
from tasks.detection.metrics import Kind, Scorer, Scores, coco_scores
from tasks.detection.sample import sample_set

PICTURES, OBJECTS, FOUND, CLASSES = 5000, 7, 20, 80
HEIGHT, WIDTH = 480, 640
KINDS: tuple[Kind, ...] = ("bbox", "segm")
SCORERS: tuple[Scorer, ...] = ("pycocotools", "hotcoco")


def ellipses(count: int, generator: np.random.Generator) -> list[dict]:
    """Run lengths of ellipses with their boxes; the scene takes them from this stock."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    stock = []
    for _ in range(count):
        width, height = np.exp(generator.uniform(np.log(12), np.log(320), 2))
        left, top = generator.uniform(0, WIDTH - width), generator.uniform(0, HEIGHT - height)
        across, down = (x - left) * 2 / width - 1, (y - top) * 2 / height - 1
        inside = np.asfortranarray(across**2 + down**2 <= 1, dtype=np.uint8)
        runs = coco_mask.encode(inside)
        stock.append(
            {
                "bbox": [float(value) for value in coco_mask.toBbox(runs)],
                "area": float(coco_mask.area(runs)),
                "segmentation": {**runs, "counts": runs["counts"].decode()},
            }
        )
    return stock


def scene(generator: np.random.Generator) -> tuple[dict, list[dict]]:
    """Ground truth and detections, half of which are objects of the picture with another box."""
    stock = ellipses(400, generator)
    annotations: list[dict] = []
    results: list[dict] = []
    for picture in range(1, PICTURES + 1):
        own = []
        for _ in range(OBJECTS):
            number = int(generator.integers(len(stock)))
            category = int(generator.integers(1, CLASSES + 1))
            crowd = int(generator.random() < 0.01)
            own.append((number, category))
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": picture, "category_id": category,
                    "iscrowd": crowd, **stock[number],
                }
            )  # fmt: skip
        for place in range(FOUND):
            number, category = own[place % OBJECTS]
            if place >= OBJECTS:
                number = int(generator.integers(len(stock)))
            box = (np.array(stock[number]["bbox"]) * generator.uniform(0.9, 1.1, 4)).tolist()
            results.append(
                {
                    "image_id": picture, "category_id": category,
                    "score": float(generator.random()), "bbox": box,
                    "segmentation": stock[number]["segmentation"],
                }
            )  # fmt: skip
    images = [{"id": n, "height": HEIGHT, "width": WIDTH} for n in range(1, PICTURES + 1)]
    categories = [{"id": n, "name": str(n)} for n in range(1, CLASSES + 1)]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def timed(truth: dict, results: list[dict], kind: Kind, scorer: Scorer) -> tuple[float, Scores]:
    start = time.process_time()
    scores = coco_scores(truth, results, kind, scorer)
    return time.process_time() - start, scores


def given_back(root: Path, split: str) -> None:
    truth = read(Config(data=DataConfig(root=root)), split).ground_truth()
    sizes = {one["id"]: (one["height"], one["width"]) for one in truth["images"]}
    results = []
    for one in truth["annotations"]:
        if not one["iscrowd"]:
            runs = one["segmentation"]
            if isinstance(runs, list):
                runs = coco_mask.merge(coco_mask.frPyObjects(runs, *sizes[one["image_id"]]))
            results.append({**one, "score": 1.0, "segmentation": runs})
    for kind in KINDS:
        for scorer in SCORERS:
            metrics = coco_scores(truth, results, kind, scorer).metrics
            print(f"{len(results)} objects given back, {kind}, {scorer}: AP {metrics['AP']!r}")


def main() -> None:
    root, split = (Path(sys.argv[1]), sys.argv[2]) if sys.argv[1:] else (sample_set(), "val2017")
    given_back(root, split)
    truth, results = scene(np.random.default_rng(0))
    print(f"{PICTURES:,} pictures, {len(truth['annotations']):,} objects, {len(results):,} found")
    for kind in KINDS:
        slow, reference = timed(truth, results, kind, "pycocotools")
        fast, scores = timed(truth, results, kind, "hotcoco")
        assert scores == reference
        ratio, ap = slow / fast, scores.metrics["AP"]
        print(f"{kind}: pycocotools {slow:.2f} s (processor), hotcoco {fast:.2f} s, {ratio:.1f}x")
        print(f"{kind}: both AP {ap!r}")


if __name__ == "__main__":
    main()
