"""OKS suppression against the published procedure written with plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pose.config import ScoringConfig
from tasks.pose.suppression import oks, oks_nms, soft_oks_nms, suppress

JOINTS = 5
SIGMAS = np.array([0.03, 0.05, 0.07, 0.09, 0.11])


def persons(seed, count, levels=0):
    """Persons of whom many nearly coincide; with `levels` their scores tie."""
    generator = np.random.default_rng(seed)
    base = generator.uniform(0, 100, (3, JOINTS, 2))
    points = base[generator.integers(0, 3, count)]
    points = points + generator.choice([0, 0.5, 2.0], (count, 1, 1)) * generator.normal(
        size=(count, JOINTS, 2)
    )
    areas = generator.uniform(500, 2000, count)
    scores = generator.integers(0, levels, count) / levels if levels else generator.random(count)
    return points, scores.astype(float), areas


def slow_oks(first, second, first_area, second_area):
    total = 0.0
    for joint in range(JOINTS):
        square = (first[joint][0] - second[joint][0]) ** 2 + (
            first[joint][1] - second[joint][1]
        ) ** 2
        spread = (2 * SIGMAS[joint]) ** 2
        total += math.exp(-square / spread / ((first_area + second_area) / 2 + np.spacing(1)) / 2)
    return total / JOINTS


def slow_nms(points, scores, areas, threshold):
    order = sorted(range(len(scores)), key=lambda person: -scores[person])
    kept = []
    for person in order:
        if all(
            slow_oks(points[best], points[person], areas[best], areas[person]) <= threshold
            for best in kept
        ):
            kept.append(person)
    return kept


def slow_soft_nms(points, scores, areas, threshold, limit):
    left = {person: float(score) for person, score in enumerate(scores)}
    kept = []
    while left and len(kept) < limit:
        best = max(left, key=lambda person: left[person])
        kept.append((best, left.pop(best)))
        for person in left:
            overlap = slow_oks(points[best], points[person], areas[best], areas[person])
            left[person] *= math.exp(-(overlap**2) / threshold)
    return kept


@given(st.integers(0, 2**32 - 1))
def test_oks_pair_by_pair(seed):
    points, _, areas = persons(seed, 6)
    got = oks(points[:4], points, areas[:4], areas, SIGMAS)
    for first in range(4):
        for second in range(6):
            expected = slow_oks(points[first], points[second], areas[first], areas[second])
            assert got[first, second] == pytest.approx(expected, rel=1e-12)
    assert np.diag(got) == pytest.approx(np.ones(4))


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),
    st.sampled_from([0, 2]),
    st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_nms_equals_the_plain_loops(seed, count, levels, threshold):
    points, scores, areas = persons(seed, count, levels)
    got = oks_nms(points, scores, areas, SIGMAS, threshold)
    assert got.tolist() == slow_nms(points, scores, areas, threshold)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0, 2]))
def test_nms_is_idempotent_and_keeps_a_best_person(seed, count, levels):
    points, scores, areas = persons(seed, count, levels)
    kept = oks_nms(points, scores, areas, SIGMAS)
    again = oks_nms(points[kept], scores[kept], areas[kept], SIGMAS)
    assert again.tolist() == list(range(len(kept)))
    assert scores[kept[0]] == scores.max()


def test_the_published_threshold_keeps_an_oks_of_exactly_the_threshold():
    points, scores, areas = persons(1, 2)
    similarity = oks(points, points, areas, areas, SIGMAS)[0, 1]
    assert len(oks_nms(points, scores, areas, SIGMAS, similarity)) == 2
    assert len(oks_nms(points, scores, areas, SIGMAS, np.nextafter(similarity, 0))) == 1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.sampled_from([0.5, 0.9]), st.integers(1, 6))
def test_soft_nms_equals_the_plain_loops(seed, count, threshold, limit):
    points, scores, areas = persons(seed, count)
    chosen, lowered = soft_oks_nms(points, scores, areas, SIGMAS, threshold, limit)
    expected = slow_soft_nms(points, scores, areas, threshold, limit)
    assert chosen.tolist() == [person for person, _ in expected]
    np.testing.assert_allclose(lowered, [score for _, score in expected], rtol=1e-9)


def test_soft_nms_keeps_twenty_at_most():
    points, scores, areas = persons(2, 30)
    chosen, lowered = soft_oks_nms(points, scores, areas, SIGMAS)
    assert len(chosen) == 20
    assert len(set(chosen.tolist())) == 20
    assert (lowered <= scores[chosen]).all()
    assert (np.diff(lowered) <= 0).all()


def test_a_crowd_is_compared_in_parts_of_the_memory(monkeypatch):
    points, _, areas = persons(3, 40)
    whole = oks(points, points, areas, areas, SIGMAS)
    monkeypatch.setattr("tasks.pose.suppression._PAIRED_JOINTS", 7 * 40 * JOINTS)
    np.testing.assert_array_equal(oks(points, points, areas, areas, SIGMAS), whole)


@pytest.mark.parametrize("method", ["hard", "soft", "none"])
def test_suppress_takes_the_method_of_the_config(method):
    points, scores, areas = persons(4, 9)
    config = ScoringConfig(nms=method, nms_threshold=0.5)
    kept, rest = suppress(points, scores, areas, SIGMAS, config)
    if method == "hard":
        assert kept.tolist() == slow_nms(points, scores, areas, 0.5)
    if method == "soft":
        assert kept.tolist() == [
            index for index, _ in slow_soft_nms(points, scores, areas, 0.5, 20)
        ]
        assert not np.array_equal(rest, scores[kept])
    else:
        np.testing.assert_array_equal(rest, scores[kept])
    if method == "none":
        assert kept.tolist() == sorted(range(9), key=lambda person: -scores[person])


def test_joints_without_spreads_cannot_be_compared_so_everybody_stays():
    points, scores, areas = persons(4, 9)
    kept, _ = suppress(points, scores, areas, np.zeros(0), ScoringConfig())
    assert sorted(kept.tolist()) == list(range(9))
