"""Scores against a direct implementation that takes one query and one picture after another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.reid.metrics import Labels, nearest, score


def direct(distances, query, gallery):
    """The protocol, word by word: per scored query (index, AP, trapezoid, INP, first, list)."""
    results = []
    for index, row in enumerate(np.asarray(distances, dtype=np.float64)):
        # sorted() is stable: equal distances stay in the order of the gallery.
        order = sorted(range(len(row)), key=lambda place: row[place])
        person, camera = query.persons[index], query.cameras[index]
        kept = [
            place
            for place in order
            if not (gallery.persons[place] == person and gallery.cameras[place] == camera)
        ]
        hits = [rank for rank, place in enumerate(kept, 1) if gallery.persons[place] == person]
        if not hits:
            continue
        precision = [number / rank for number, rank in enumerate(hits, 1)]
        trapezoid = 0.0
        for number, rank in enumerate(hits, 1):
            old = (number - 1) / (rank - 1) if rank > 1 else 1.0
            trapezoid += (old + number / rank) / 2 / len(hits)
        results.append(
            (index, np.mean(precision), trapezoid, len(hits) / hits[-1], hits[0], kept[:10])
        )
    return results


def labels(generator, count, persons, cameras):
    return Labels(generator.integers(0, persons, count), generator.integers(0, cameras, count))


def agree(scores, expected, shown=10):
    assert scores.queries.tolist() == [row[0] for row in expected]
    columns = (scores.average_precision, scores.trapezoid_precision, scores.inverse_penalty)
    for column, values in zip(
        columns, zip(*(row[1:4] for row in expected), strict=True), strict=True
    ):
        np.testing.assert_allclose(column, values, rtol=1e-12)
    assert scores.first_hit.tolist() == [row[4] for row in expected]
    for found, row in zip(scores.nearest.tolist(), expected, strict=True):
        listed = row[5][:shown]
        assert found == listed + [-1] * (shown - len(listed))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("queries", "gallery"), [(1, 1), (7, 30), (40, 200)])
def test_all_scores_are_those_of_the_direct_implementation(queries, gallery, ties):
    generator = np.random.default_rng(queries)
    for _ in range(10):
        query, among = labels(generator, queries, 6, 3), labels(generator, gallery, 6, 3)
        distances = generator.random((queries, gallery), dtype=np.float32)
        if ties:
            distances = np.round(distances * 5).astype(np.float32) / 5
        expected = direct(distances, query, among)
        if expected:
            agree(score([distances], query, among), expected)
        else:
            assert not len(score([distances], query, among).queries)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_distances_and_labels(data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries, gallery = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 12))
    values = st.sampled_from([-1.5, -0.0, 0.0, 1e-30, 0.25, 0.5, 3e38])
    rows = [[data.draw(values) for _ in range(gallery)] for _ in range(queries)]
    distances = np.array(rows, dtype=np.float32)
    query, among = labels(generator, queries, 3, 2), labels(generator, gallery, 3, 2)
    expected = direct(distances, query, among)
    scores = score([distances], query, among, shown=4)
    if expected:
        agree(scores, expected, shown=4)
        assert scores.metrics()["mAP"] == pytest.approx(np.mean([row[1] for row in expected]))
    else:
        assert np.isnan(scores.metrics()["mAP"])


def test_golden_numbers_by_hand():
    """One query, person 1 camera 0. By distance: own camera (removed), 2, 1, 2, 1, distractor."""
    query = Labels(np.array([1]), np.array([0]))
    gallery = Labels(np.array([1, 2, 1, 2, 1, 0]), np.array([0, 0, 1, 1, 2, 1]))
    distances = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], dtype=np.float32)
    scores = score([distances], query, gallery)
    metrics = scores.metrics()
    # Hits at ranks 2 and 4 of the five that count.
    assert metrics["mAP"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert metrics["mAP_trapezoid"] == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert metrics["mINP"] == pytest.approx(2 / 4)
    assert (metrics["rank1"], metrics["rank5"], metrics["rank10"]) == (0, 1, 1)
    assert scores.cmc(5).tolist() == [0, 1, 1, 1, 1]
    assert scores.nearest.tolist() == [[1, 2, 3, 4, 5, -1, -1, -1, -1, -1]]
    assert list(metrics) == ["mAP", "rank1", "rank5", "rank10", "mINP", "mAP_trapezoid"]


def test_a_query_seen_by_its_own_camera_only_is_not_scored():
    query = Labels(np.array([1, 2, 3]), np.array([0, 0, 0]))
    gallery = Labels(np.array([1, 2, 2]), np.array([0, 1, 0]))
    distances = np.array([[0.1, 0.2, 0.3]] * 3, dtype=np.float32)
    scores = score([distances], query, gallery)
    assert scores.queries.tolist() == [1]
    assert scores.metrics()["rank1"] == 0
    assert scores.cmc(3).tolist() == [0, 1, 1]


def test_no_query_that_can_be_scored_gives_nan():
    one = Labels(np.array([1]), np.array([0]))
    scores = score([np.zeros((1, 1), np.float32)], one, one)
    assert all(np.isnan(value) for value in scores.metrics().values())
    assert scores.cmc(3).tolist() == [0, 0, 0]


def test_a_distractor_is_a_wrong_match():
    query = Labels(np.array([1]), np.array([0]))
    without = Labels(np.array([1]), np.array([1]))
    with_one = Labels(np.array([0, 1]), np.array([0, 1]))
    assert score([np.array([[0.5]], np.float32)], query, without).metrics()["mAP"] == 1
    found = score([np.array([[0.1, 0.5]], np.float32)], query, with_one).metrics()
    assert found["mAP"] == 0.5


def test_blocks_of_any_size_give_the_same_scores():
    generator = np.random.default_rng(3)
    query, gallery = labels(generator, 23, 5, 3), labels(generator, 60, 5, 3)
    distances = generator.random((23, 60), dtype=np.float32)
    whole = score([distances], query, gallery)
    parts = score(np.array_split(distances, 5), query, gallery)
    for one, other in zip(vars(whole).values(), vars(parts).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="20 rows of distances for 23 queries"):
        score([distances[:20]], query, gallery)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_the_nearest_are_in_stable_order(seed, coarse):
    generator = np.random.default_rng(seed)
    distances = generator.normal(size=(4, 30)).astype(np.float32)
    if coarse:
        distances = np.round(distances).astype(np.float32)  # with -0.0 and 0.0
    expected = np.argsort(distances, axis=1, kind="stable")
    for count in (1, 7, 30, 50):
        np.testing.assert_array_equal(nearest(distances, count), expected[:, :count])


def test_scores_do_not_depend_on_how_persons_and_cameras_are_numbered():
    generator = np.random.default_rng(5)
    query, gallery = labels(generator, 20, 5, 3), labels(generator, 50, 5, 3)
    distances = generator.random((20, 50), dtype=np.float32)
    renamed = [Labels(one.persons * 7 + 3, 9 - one.cameras) for one in (query, gallery)]
    assert score([distances], query, gallery).metrics() == score([distances], *renamed).metrics()


def test_a_perfect_search():
    generator = np.random.default_rng(6)
    query, gallery = labels(generator, 20, 5, 3), labels(generator, 50, 5, 3)
    distances = (query.persons[:, None] != gallery.persons).astype(np.float32)
    metrics = score([distances], query, gallery).metrics()
    assert set(metrics.values()) == {1.0}
