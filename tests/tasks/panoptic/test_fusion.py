"""How things and stuff become one map, against what detectron2's own function gives."""

import numpy as np
import pytest

from tasks.panoptic.config import ScoringConfig
from tasks.panoptic.fusion import combine


def mask(rows, columns):
    whole = np.zeros((6, 10), bool)
    whole[rows, columns] = True
    return whole


A, B, C = (mask(slice(0, 4), slice(*reach)) for reach in ((0, 4), (2, 6), (3, 5)))
D, E, F = mask(slice(4, 6), slice(0, 3)), mask(slice(0, 2), slice(8, 10)), np.zeros((6, 10), bool)
MASKS, LABELS, SCORES = [A, B, C, D, E, F], [1, 2, 1, 2, 1, 1], [0.9, 0.8, 0.7, 0.5, 0.49, 0.95]
SEMANTIC = np.array([[1] * 10] * 3 + [[2] * 10] * 2 + [[0] * 5 + [3] * 5])


def combined(**test):
    settings = ScoringConfig(**{"thing_score": 0.5, "overlap": 0.5, "stuff_area": 4, **test})
    return combine(MASKS, LABELS, SCORES, SEMANTIC, 2, settings)


def text(ids):
    return ["".join(map(str, row)) for row in ids.tolist()]


def test_the_rule():
    ids, parts = combined()
    assert text(ids) == [*["1111224444"] * 3, "1111225555", "3335555555", "3330066666"]
    assert [tuple(one) for one in parts] == [
        (1, 1, 16, 0.9), (2, 2, 8, 0.8), (3, 2, 6, 0.5),
        (4, 3, 12, None), (5, 4, 11, None), (6, 5, 5, None),
    ]  # fmt: skip


def test_stuff_below_the_least_area_has_no_segment():
    ids, parts = combined(stuff_area=12)
    assert text(ids) == [*["1111224444"] * 3, "1111220000", "3330000000", "3330000000"]
    assert [one.number for one in parts] == [1, 2, 3, 4]


def test_a_thing_that_is_mostly_covered_is_left_out():
    ids, parts = combined(overlap=0.49)
    assert text(ids) == [*["1111333333"] * 3, "1111444444", "2224444444", "2220055555"]
    assert [one.area for one in parts if one.score is None] == [18, 13, 5]


def test_every_pixel_has_one_segment_and_areas_are_its_pixels():
    ids, parts = combined(thing_score=0.0)
    assert np.bincount(ids.ravel())[1:].tolist() == [one.area for one in parts]
    assert [one.number for one in parts] == list(range(1, len(parts) + 1))


def test_the_order_of_the_things_does_not_matter():
    ids, _ = combined()
    order = [3, 1, 5, 0, 4, 2]
    lists = ([values[place] for place in order] for values in (MASKS, LABELS, SCORES))
    other, _ = combine(*lists, SEMANTIC, 2, ScoringConfig(stuff_area=4))
    assert np.array_equal(ids, other)


@pytest.mark.parametrize("limit", [0, 1])
def test_annotated_things_and_stuff_give_the_annotation_back(limit):
    semantic = np.where(A | D, 0, SEMANTIC)
    ids, parts = combine([A, D], [1, 2], [0.9, 0.8], semantic, 2, ScoringConfig(stuff_area=limit))
    for one in parts:
        own = A if one.number == 1 else D if one.number == 2 else semantic == one.label - 2
        assert np.array_equal(ids == one.number, own)


def test_nothing_at_all():
    ids, parts = combine([], [], [], np.zeros((3, 4), np.uint8), 2, ScoringConfig())
    assert not ids.any() and parts == []
