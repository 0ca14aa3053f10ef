"""COCO's scores: known cases, ground truth given back, and the fast scorer."""

import copy
import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from common.errors import UserError
from tasks.detection import metrics
from tasks.detection.metrics import STATISTICS, coco_scores

needs_hotcoco = pytest.mark.skipif(
    importlib.util.find_spec("hotcoco") is None, reason="the extra `fast` is not installed"
)

HEIGHT, WIDTH = 120, 160


def disc(box):
    """Run lengths of the ellipse in a box (left, top, width, height)."""
    left, top, width, height = box
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((x - left - width / 2) * 2 / width) ** 2 + ((y - top - height / 2) * 2 / height) ** 2
    encoded = rle.encode(np.asfortranarray(inside <= 1, dtype=np.uint8))
    return {**encoded, "counts": encoded["counts"].decode()}


def scene(seed=0, pictures=6, categories=(1, 3, 18), crowds=True):
    """A COCO dictionary with objects of all sizes, crowds, and a picture without objects."""
    generator = np.random.default_rng(seed)
    annotations = []
    for picture in range(1, pictures):
        for _ in range(int(generator.integers(1, 7))):
            side = generator.uniform(6, 100, size=2)
            corner = generator.uniform(0, np.array([WIDTH, HEIGHT]) - side)
            box = [float(value) for value in (*corner, *side)]
            mask = disc(box)
            annotations.append(
                {
                    "id": 7 * len(annotations),  # 0 is among them
                    "image_id": picture,
                    "category_id": int(generator.choice(categories)),
                    "bbox": box,
                    "area": float(rle.area(mask)),
                    "segmentation": mask,
                    "iscrowd": int(crowds and generator.random() < 0.15),
                }
            )
    return {
        "images": [{"id": n, "height": HEIGHT, "width": WIDTH} for n in range(pictures)],
        "categories": [{"id": number, "name": f"c{number}"} for number in categories],
        "annotations": annotations,
    }


def given_back(truth, score=1.0):
    fields = ("image_id", "category_id", "bbox", "segmentation")
    return [
        {**{field: one[field] for field in fields}, "score": score}
        for one in truth["annotations"]
        if not one["iscrowd"]
    ]


def noisy(truth, seed):
    """Detections that are moved, doubled, mixed up and missing, some with equal scores."""
    generator = np.random.default_rng(seed)
    results = []
    for one in given_back(truth) + given_back(truth)[::3]:
        box = np.array(one["bbox"]) + generator.normal(0, 3, 4)
        box[2:] = np.maximum(box[2:], 2)
        moved = [float(value) for value in box]
        changed = {"bbox": moved, "segmentation": disc(moved)}
        changed["score"] = round(float(generator.random()), 1)
        if generator.random() < 0.15:
            changed["category_id"] = truth["categories"][0]["id"]
        if generator.random() < 0.9:
            results.append({**one, **changed})
    return results


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_ground_truth_given_back_is_perfect(kind):
    truth = scene()
    before = copy.deepcopy(truth)
    scores = coco_scores(truth, given_back(truth), kind)
    assert truth == before
    assert list(scores.metrics) == list(STATISTICS)
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR", "ARs", "ARm", "ARl"):
        assert scores.metrics[name] in (1.0, -1.0), name
    assert scores.metrics["AP"] == scores.metrics["AR"] == 1.0
    assert all(one["AP"] == one["AR"] == 1.0 for one in scores.classes.values())


def test_a_case_that_is_counted_by_hand():
    """Two objects; the best detection is wrong, the next finds one at an overlap of 0.6."""
    truth = scene(pictures=2, categories=(5,))
    objects = [[10.0, 10.0, 40.0, 40.0], [80.0, 60.0, 40.0, 40.0]]
    truth["annotations"] = [
        {"id": n, "image_id": 1, "category_id": 5, "bbox": box, "area": 1600.0, "iscrowd": 0}
        for n, box in enumerate(objects)
    ]
    found = [
        {"image_id": 1, "category_id": 5, "bbox": [100.0, 5.0, 40.0, 40.0], "score": 0.9},
        # 40 x 40 in 40 x 64: an overlap of 0.625
        {"image_id": 1, "category_id": 5, "bbox": [10.0, 10.0, 40.0, 64.0], "score": 0.8},
    ]
    scores = coco_scores(truth, found, "bbox")
    # Precision is 1/2 up to a recall of 1/2: 51 of 101 places; overlaps 0.5, 0.55 and 0.6 count.
    assert scores.metrics["AP50"] == pytest.approx(0.5 * 51 / 101)
    assert scores.metrics["AP75"] == 0
    assert scores.metrics["AP"] == pytest.approx(0.3 * 0.5 * 51 / 101)
    assert scores.metrics["AR"] == pytest.approx(0.3 * 0.5)
    assert scores.metrics["AR1"] == 0
    assert scores.metrics["APs"] == scores.metrics["APl"] == -1
    assert scores.classes[5]["AP50"] == scores.metrics["AP50"]


def test_a_crowd_is_neither_to_be_found_nor_wrong():
    truth = scene(crowds=False)
    perfect = coco_scores(truth, given_back(truth), "bbox").metrics["AP"]
    crowd = {**truth["annotations"][0], "id": 999, "iscrowd": 1, "bbox": [0.0, 0.0, 60.0, 100.0]}
    truth["annotations"].append(crowd)
    inside = {**crowd, "bbox": [5.0, 5.0, 20.0, 30.0], "score": 0.99}
    assert coco_scores(truth, given_back(truth), "bbox").metrics["AP"] == perfect
    assert coco_scores(truth, [*given_back(truth), inside], "bbox").metrics["AP"] == perfect


def test_the_size_of_a_mask_is_its_own_and_not_that_of_its_box():
    """A wrong ring of few pixels in a large box is a mistake among the small ones alone."""
    truth = scene(pictures=3, categories=(1,), crowds=False)
    ring = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    ring[5, 5:115] = 1
    encoded = rle.encode(np.asfortranarray(ring))
    wrong = {"image_id": 0, "category_id": 1, "bbox": [5.0, 5.0, 110.0, 110.0], "score": 1.1}
    wrong["segmentation"] = {**encoded, "counts": encoded["counts"].decode()}
    clean = coco_scores(truth, given_back(truth), "segm").metrics
    scores = coco_scores(truth, [*given_back(truth), wrong], "segm").metrics
    assert scores["APl"] == clean["APl"]
    assert scores["AP"] < clean["AP"]


def test_the_order_of_results_does_not_matter():
    truth = scene(3)
    results = noisy(truth, 3)
    for kind in ("bbox", "segm"):
        assert coco_scores(truth, results, kind) == coco_scores(truth, results[::-1], kind)


def test_nothing_found_and_nothing_to_find():
    truth = scene()
    scores = coco_scores(truth, [], "segm")
    assert scores.metrics["AP"] == scores.metrics["AR"] == 0
    unseen = {**truth, "categories": [*truth["categories"], {"id": 40, "name": "unseen"}]}
    assert coco_scores(unseen, given_back(truth), "bbox").classes[40]["AP"] == -1
    assert coco_scores(unseen, given_back(truth), "bbox").metrics["AP"] == 1


@pytest.mark.parametrize(("key", "value"), [("image_id", 77), ("category_id", 2)])
def test_results_of_something_else_are_refused(key, value):
    truth = scene()
    results = given_back(truth)
    results[-1][key] = value
    with pytest.raises(ValueError, match=f"{key} that the truth lacks, such as {value}"):
        coco_scores(truth, results, "bbox")


@needs_hotcoco
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["bbox", "segm"]))
def test_the_fast_scorer_agrees_to_the_last_bit(seed, kind):
    truth = scene(seed, pictures=4)
    results = noisy(truth, seed)
    assert coco_scores(truth, results, kind, "hotcoco") == coco_scores(truth, results, kind)


def test_without_the_extra_the_flag_is_named(monkeypatch):
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda _: None)
    truth = scene(pictures=2)
    with pytest.raises(UserError, match=r"--test\.scorer hotcoco: .*pip install '\.\[fast\]'"):
        coco_scores(truth, given_back(truth), "bbox", "hotcoco")
