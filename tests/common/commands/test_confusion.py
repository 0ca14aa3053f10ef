"""Counts and scores against a loop over pixels, torchmetrics and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from common.commands.confusion import class_scores, confusion_matrix, mean_scores


def by_loop(labels, predicted, classes):
    counts = [[0] * classes for _ in range(classes)]
    for true, answer in zip(labels.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if true != 255:
            counts[true][answer] += 1
    return counts


def iou_by_sets(labels, predicted, label):
    true = {place for place, value in enumerate(labels.ravel()) if value == label}
    counted = {place for place, value in enumerate(labels.ravel()) if value != 255}
    found = {place for place, value in enumerate(predicted.ravel()) if value == label} & counted
    return len(true & found) / len(true | found) if true | found else math.nan


maps = st.integers(2, 6).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        arrays.arrays(np.uint8, (6, 7), elements=st.sampled_from([*range(classes), 255])),
        arrays.arrays(np.uint8, (6, 7), elements=st.integers(0, classes - 1)),
    )
)


@given(maps)
def test_counts_are_those_of_a_loop(drawn):
    classes, labels, predicted = drawn
    counts = confusion_matrix(labels, predicted, classes)
    assert counts.tolist() == by_loop(labels, predicted, classes)
    assert counts.dtype == np.int64
    assert counts.sum() == (labels != 255).sum()
    wanted = [iou_by_sets(labels, predicted, label) for label in range(classes)]
    np.testing.assert_array_equal(class_scores(counts)["IoU"], wanted)


@given(maps, st.integers(0, 6))
def test_shards_add_up_to_the_whole(drawn, cut):
    classes, labels, predicted = drawn
    parts = [
        confusion_matrix(labels[here], predicted[here], classes)
        for here in (slice(cut), slice(cut, None))
    ]
    assert np.array_equal(sum(parts), confusion_matrix(labels, predicted, classes))


@given(maps)
def test_perfect_answers_score_1(drawn):
    classes, labels, _ = drawn
    scores = mean_scores(confusion_matrix(labels, np.where(labels == 255, 0, labels), classes))
    if (labels != 255).any():
        assert scores == {"mIoU": 1, "pixel_accuracy": 1, "mean_accuracy": 1}
    else:
        assert all(math.isnan(value) for value in scores.values())


@pytest.mark.parametrize("classes", [2, 21, 254])
def test_torchmetrics_agrees(classes):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, (3, 60, 70)).astype(np.uint8)
    predicted = np.where(
        generator.random(labels.shape) < 0.4, labels, generator.integers(0, classes, labels.shape)
    ).astype(np.uint8)
    labels[generator.random(labels.shape) < 0.1] = 255
    labels[labels == classes - 1] = 0  # a class that is predicted only
    counts = confusion_matrix(labels, predicted, classes)
    pair = torch.from_numpy(predicted).long(), torch.from_numpy(labels).long()
    options = {"num_classes": classes, "ignore_index": 255}
    jaccard = MulticlassJaccardIndex(**options, average="none")(*pair)
    np.testing.assert_allclose(class_scores(counts)["IoU"], jaccard.numpy(), rtol=1e-6)
    scores = mean_scores(counts)
    assert scores["mIoU"] == pytest.approx(float(MulticlassJaccardIndex(**options)(*pair)))
    accuracy = MulticlassAccuracy(**options, average="micro")(*pair)
    assert scores["pixel_accuracy"] == pytest.approx(float(accuracy))


def test_absent_classes_are_left_out_of_the_mean_as_in_torchmetrics():
    labels = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    predicted = np.array([[0, 1, 1, 3]], dtype=np.uint8)
    scores = class_scores(confusion_matrix(labels, predicted, 5))
    np.testing.assert_allclose(scores["IoU"], [1 / 2, 1 / 2, np.nan, np.nan, np.nan])
    mean = mean_scores(confusion_matrix(labels, predicted, 5))["mIoU"]
    pair = torch.from_numpy(predicted).long(), torch.from_numpy(labels).long()
    assert mean == float(MulticlassJaccardIndex(5, ignore_index=255)(*pair)) == 0.5


def test_numbers_worked_out_by_hand():
    counts = np.array([[50, 10, 0], [5, 30, 5], [0, 0, 0]])
    scores = class_scores(counts)
    np.testing.assert_allclose(scores["IoU"], [50 / 65, 30 / 50, 0])
    np.testing.assert_allclose(scores["accuracy"], [5 / 6, 3 / 4, np.nan])
    assert mean_scores(counts) == pytest.approx(
        {
            "mIoU": (50 / 65 + 30 / 50) / 3,
            "pixel_accuracy": 80 / 100,
            "mean_accuracy": (5 / 6 + 3 / 4) / 2,
        }
    )


def test_counts_beyond_the_whole_numbers_of_float32_stay_exact():
    labels = np.zeros((4097, 4097), dtype=np.uint8)
    assert confusion_matrix(labels, labels, 2)[0, 0] == 4097**2


def test_what_cannot_be_counted():
    labels = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(ValueError, match="numbers from 3 on"):
        confusion_matrix(labels, labels + 3, 3)
    with pytest.raises(ValueError, match="labels are"):
        confusion_matrix(labels, labels[:1], 3)
