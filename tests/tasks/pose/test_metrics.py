"""COCO's and MPII's scores against direct, slow implementations."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pose.metrics import coco_scores, pckh

SIGMAS = np.repeat(
    [0.026, 0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], [1, 2, 2, 2, 2, 2, 2, 2, 2]
)


# --- COCO ---------------------------------------------------------------------------------------


def coco_truth(persons_per_image, seed=0, size=120.0):
    """Ground truth with persons of `size` px, their joints spread over their boxes."""
    generator = np.random.default_rng(seed)
    annotations = []
    for image, count in enumerate(persons_per_image):
        for _ in range(count):
            x, y = generator.uniform(0, 400, 2)
            joints = np.ones((17, 3))
            joints[:, :2] = generator.uniform(0, size, (17, 2)) + np.array([x, y])
            joints[:, 2] = generator.integers(0, 3, 17)
            joints[0, 2] = 2
            joints[joints[:, 2] == 0] = 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [x, y, size, size],
                    "area": 0.5 * size * size,
                    "num_keypoints": int((joints[:, 2] > 0).sum()),
                    "keypoints": joints.ravel().tolist(),
                }
            )
    images = [{"id": image, "file_name": f"{image}.jpg"} for image in range(len(persons_per_image))]
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "categories": categories, "annotations": annotations}


def results_from(truth, noise=0.0, seed=0, equal_scores=False):
    generator = np.random.default_rng(seed)
    results = []
    for annotation in truth["annotations"]:
        joints = np.array(annotation["keypoints"]).reshape(17, 3)
        joints[:, :2] += noise * generator.normal(size=(17, 2)) * generator.choice([0.2, 1, 3])
        joints[:, 2] = 1
        results.append(
            {
                "image_id": annotation["image_id"],
                "category_id": 1,
                "keypoints": joints.ravel().tolist(),
                "score": 0.5 if equal_scores else float(generator.random()),
            }
        )
    return results


def slow_ap(truth, results, threshold):
    """Average precision over all sizes at one OKS threshold, written from COCO's definition."""
    marks = []
    for image in truth["images"]:
        people = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        found = sorted(
            (r for r in results if r["image_id"] == image["id"]), key=lambda r: -r["score"]
        )[:20]
        free = list(range(len(people)))
        for result in found:
            similarity = {place: slow_oks(people[place], result) for place in free}
            best = max(similarity, key=similarity.get, default=None)
            hit = best is not None and similarity[best] >= threshold
            if hit:
                free.remove(best)
            marks.append((result["score"], hit))
    marks.sort(key=lambda mark: -mark[0])
    hits = np.cumsum([hit for _, hit in marks])
    recall = hits / len(truth["annotations"])
    precision = hits / np.arange(1, len(marks) + 1)
    samples = [
        max((p for p, r in zip(precision, recall, strict=True) if r >= wanted), default=0)
        for wanted in np.linspace(0, 1, 101)
    ]
    return float(np.mean(samples))


def slow_oks(annotation, result):
    total, count = 0.0, 0
    for joint in range(17):
        x, y, visible = annotation["keypoints"][3 * joint : 3 * joint + 3]
        if visible > 0:
            u, v = result["keypoints"][3 * joint : 3 * joint + 2]
            spread = 2 * SIGMAS[joint]
            total += math.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * annotation["area"] * spread**2))
            count += 1
    return total / count


@pytest.mark.parametrize("seed", range(5))
def test_coco_scores_against_the_definition(seed):
    truth = coco_truth([2, 0, 3, 1, 4], seed)
    results = results_from(truth, noise=8.0, seed=seed)
    got = coco_scores(truth, results, SIGMAS)
    by_threshold = [slow_ap(truth, results, limit) for limit in np.arange(0.5, 0.96, 0.05)]
    assert 0.05 < got["AP"] < 0.95, "the case should neither be trivial nor hopeless"
    assert got["AP50"] == pytest.approx(by_threshold[0], abs=1e-9)
    assert got["AP75"] == pytest.approx(by_threshold[5], abs=1e-9)
    assert got["AP"] == pytest.approx(np.mean(by_threshold), abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 1000))
def test_perfect_predictions_give_an_ap_of_one(persons, seed):
    truth = coco_truth([1, *persons], seed)
    scores = coco_scores(truth, results_from(truth, seed=seed), SIGMAS)
    assert scores["AP"] == pytest.approx(1.0)
    assert scores["AR"] == pytest.approx(1.0)


@settings(deadline=None, max_examples=20)
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_the_results_does_not_matter(random, equal_scores):
    truth = coco_truth([2, 3, 1], 4)
    results = results_from(truth, 12.0, 4, equal_scores) + results_from(
        truth, 30.0, 5, equal_scores
    )
    expected = coco_scores(truth, results, SIGMAS)
    random.shuffle(results)
    assert coco_scores(truth, results, SIGMAS) == expected


def test_coco_scores_are_silent_and_change_nothing(capsys):
    truth = coco_truth([2, 1])
    results = results_from(truth)
    before = copy.deepcopy((truth, results))
    coco_scores(truth, results, SIGMAS)
    assert (truth, results) == before
    assert capsys.readouterr() == ("", "")


def test_no_results_score_zero_and_an_empty_truth_is_marked():
    medium = coco_truth([1, 2])
    expected = {"AP": 0, "AP50": 0, "AP75": 0, "APM": 0, "APL": -1, "AR": 0}
    assert coco_scores(medium, [], SIGMAS) == expected
    empty = coco_truth([0, 0])
    assert set(coco_scores(empty, [], SIGMAS).values()) == {-1.0}
    stray = results_from(coco_truth([1, 0]))
    assert set(coco_scores(empty, stray, SIGMAS).values()) == {-1.0}


def test_sizes_are_told_apart_by_the_area_of_the_truth():
    medium, large = coco_truth([2], 1, size=80.0), coco_truth([2], 2, size=300.0)
    assert coco_scores(medium, results_from(medium), SIGMAS)["APL"] == -1
    assert coco_scores(medium, results_from(medium), SIGMAS)["APM"] == pytest.approx(1)
    assert coco_scores(large, results_from(large), SIGMAS)["APM"] == -1
    assert coco_scores(large, results_from(large), SIGMAS)["APL"] == pytest.approx(1)


def test_annotation_ids_of_zero_or_listed_twice_do_not_change_the_score():
    truth = coco_truth([2, 2], 7)
    results = results_from(truth, 10.0, 7)
    expected = coco_scores(truth, results, SIGMAS)
    for annotation in truth["annotations"]:
        annotation["id"] = 0
    assert coco_scores(truth, results, SIGMAS) == expected


def test_other_categories_and_missing_counts_do_not_change_the_score():
    truth = coco_truth([2, 2], 7)
    results = results_from(truth, 10.0, 7)
    expected = coco_scores(truth, results, SIGMAS)
    for annotation in truth["annotations"]:
        del annotation["num_keypoints"]
    truth["categories"] = [{"id": 2, "name": "cat"}, {"id": 1, "name": "person"}]
    truth["annotations"].append({"id": 99, "image_id": 0, "category_id": 2, "bbox": [0, 0, 9, 9]})
    assert coco_scores(truth, results, SIGMAS) == expected


def test_crowds_and_persons_without_joints_are_neither_wanted_nor_wrong():
    truth = coco_truth([2, 2], 7)
    results = results_from(truth)
    crowd, unlabelled = truth["annotations"][0], truth["annotations"][3]
    crowd["iscrowd"] = 1
    unlabelled["keypoints"] = [0.0] * 51
    # Without joints to compare, a person found within the box is forgiven.
    x, y, width, height = unlabelled["bbox"]
    results[3]["keypoints"] = [x + width / 2, y + height / 2, 1.0] * 17
    scores = coco_scores(truth, results, SIGMAS)
    assert scores["AP"] == pytest.approx(1)
    assert scores["AR"] == pytest.approx(1)


def test_results_for_an_unknown_picture_are_refused():
    truth = coco_truth([1])
    results = [{**result, "image_id": 77} for result in results_from(truth)]
    with pytest.raises(ValueError, match="77"):
        coco_scores(truth, results, SIGMAS)


# --- PCKh ---------------------------------------------------------------------------------------


def slow_pckh(predicted, truth, visible, heads, threshold):
    """Per joint (hits, count), joint by joint and person by person."""
    table = []
    for joint in range(16):
        hits = count = 0
        for person in range(len(truth)):
            if visible[person, joint]:
                gap = math.dist(predicted[person, joint], truth[person, joint])
                hits += gap / (0.6 * heads[person]) <= threshold
                count += 1
        table.append((hits, count))
    return table


@pytest.mark.parametrize("seed", range(4))
def test_pckh_against_counting(seed):
    generator = np.random.default_rng(seed)
    truth = generator.uniform(0, 200, (12, 16, 2))
    predicted = truth + generator.normal(size=truth.shape) * 8
    visible = generator.random((12, 16)) < 0.7
    visible[0] = True
    heads = generator.uniform(20, 60, 12)
    scores = pckh(predicted, truth, visible, heads)
    table = slow_pckh(predicted, truth, visible, heads, 0.5)
    percent = [100 * hits / count for hits, count in table]
    pairs = {"Ankle": (0, 5), "Knee": (1, 4), "Hip": (2, 3), "Wrist": (10, 15)}
    pairs |= {"Elbow": (11, 14), "Shoulder": (12, 13), "Head": (9, 9)}
    for part, (first, second) in pairs.items():
        assert scores[part] == pytest.approx((percent[first] + percent[second]) / 2)
    counts = np.array([0 if joint in (6, 7) else table[joint][1] for joint in range(16)])
    assert scores["Mean"] == pytest.approx(np.dot(percent, counts / counts.sum()))
    strict = slow_pckh(predicted, truth, visible, heads, 0.11)
    strict_percent = [100 * hits / count for hits, count in strict]
    assert scores["Mean@0.1"] == pytest.approx(np.dot(strict_percent, counts / counts.sum()))


def test_pckh_at_the_very_threshold_counts_as_found():
    truth = np.zeros((1, 16, 2))
    predicted = truth.copy()
    predicted[..., 0] = 15.0  # half of 0.6 * 50
    visible = np.ones((1, 16), dtype=bool)
    assert pckh(predicted, truth, visible, np.array([50.0]))["Mean"] == 100
    assert pckh(predicted + 1e-6, truth, visible, np.array([50.0]))["Mean"] == 0


def test_pelvis_and_thorax_do_not_count():
    truth = np.zeros((1, 16, 2))
    predicted = truth.copy()
    predicted[0, 6:8] = 1000
    scores = pckh(predicted, truth, np.ones((1, 16), dtype=bool), np.array([50.0]))
    assert scores["Mean"] == 100


def test_joints_that_are_never_visible_are_marked():
    visible = np.ones((2, 16), dtype=bool)
    visible[:, 9] = False
    points = np.zeros((2, 16, 2))
    scores = pckh(points, points, visible, np.array([50.0, 50.0]))
    assert scores["Head"] == -1
    assert scores["Mean"] == 100
    nobody = pckh(points[:0], points[:0], visible[:0], np.zeros(0))
    assert set(nobody.values()) == {-1.0}


def test_a_head_without_size_is_refused():
    points = np.zeros((1, 16, 2))
    with pytest.raises(ValueError, match="head sizes"):
        pckh(points, points, np.ones((1, 16)), np.zeros(1))
