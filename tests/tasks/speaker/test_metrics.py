"""Error rates against their definitions, written out over every threshold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tasks.speaker.metrics import (
    Calibration,
    cohort_statistics,
    cosine_scores,
    equal_errors,
    fit_calibration,
    least_log_likelihood_cost,
    log_likelihood_cost,
    minimum_cost,
    normalised,
    operating_points,
    symmetric_normalisation,
    verification_scores,
)


def slow_points(scores, target):
    """(threshold, misses, false accepts) at every score and beyond, by counting."""
    points = []
    for threshold in [*sorted(set(scores)), math.inf]:
        rejected = [t for s, t in zip(scores, target, strict=True) if s < threshold]
        accepted = [t for s, t in zip(scores, target, strict=True) if s >= threshold]
        misses = sum(rejected) / sum(target)
        false_accepts = (len(accepted) - sum(accepted)) / (len(target) - sum(target))
        points.append((threshold, misses, false_accepts))
    return points


def slow_eer(scores, target):
    points = slow_points(scores, target)
    for (_, miss0, fa0), (_, miss1, fa1) in itertools.pairwise(points):
        if miss0 - fa0 < 0 <= miss1 - fa1:
            part = (fa0 - miss0) / ((miss1 - fa1) - (miss0 - fa0))
            return miss0 + part * (miss1 - miss0)
    raise AssertionError("misses never overtake")


def slow_cost(scores, target, prior):
    costs = [prior * miss + (1 - prior) * fa for _, miss, fa in slow_points(scores, target)]
    return min(costs) / min(prior, 1 - prior)


TRIALS = st.lists(
    # Few values: many ties.
    st.tuples(st.integers(-4, 4).map(float), st.booleans()),
    min_size=2,
    max_size=40,
).filter(lambda trials: 0 < sum(t for _, t in trials) < len(trials))


@settings(max_examples=200, deadline=None)
@given(TRIALS, st.sampled_from([0.01, 0.05, 0.5, 0.9]))
def test_equal_to_counting_on_ties_and_tiny_sets(trials, prior):
    scores, target = np.array([s for s, _ in trials]), np.array([t for _, t in trials])
    points = operating_points(scores, target)
    expected = slow_points(scores.tolist(), target.tolist())
    np.testing.assert_allclose(np.column_stack(points), expected)
    assert equal_errors(points).rate == pytest.approx(slow_eer(scores.tolist(), target.tolist()))
    slow = slow_cost(scores.tolist(), target.tolist(), prior)
    assert minimum_cost(points, prior) == pytest.approx(slow)


@settings(max_examples=100, deadline=None)
@given(TRIALS, st.integers(0, 10**6))
def test_only_the_order_of_scores_matters(trials, seed):
    scores, target = np.array([s for s, _ in trials]), np.array([t for _, t in trials])
    found = verification_scores(scores, target)
    shuffle = np.random.default_rng(seed).permutation(len(scores))
    assert verification_scores(scores[shuffle], target[shuffle]) == pytest.approx(found)
    assert verification_scores(np.exp(scores / 3), target) == pytest.approx(found)
    swapped = verification_scores(-scores, ~target)
    assert swapped["EER"] == pytest.approx(found["EER"])
    assert 0 <= found["EER"] <= 1
    assert 0 <= found["minDCF01"] <= 1


def test_numbers_worked_out_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    target = np.array([1, 1, 0, 1, 0, 1, 0, 0], dtype=bool)
    # At 0.6: one target of four lies below, one nontarget of four lies above.
    assert equal_errors(operating_points(scores, target)) == (0.25, 0.6, 0.25, 0.25)
    # Accepting the two best alone: half of the targets are missed, nothing is wrongly accepted.
    assert minimum_cost(operating_points(scores, target), 0.01) == pytest.approx(0.5)
    assert minimum_cost(operating_points(scores, target), 0.5) == pytest.approx(0.5)


def test_accepting_everything_is_an_operating_point():
    """Upstream leaves it out; with a high prior of targets it is the best decision of all."""
    scores, target = np.array([0.1, 0.2, 0.3]), np.array([True, True, False])
    assert minimum_cost(operating_points(scores, target), 0.99) == pytest.approx(1)
    assert operating_points(scores, target).false_accepts[0] == 1
    worst = operating_points(np.array([0.0, 1.0]), np.array([True, False]))
    assert equal_errors(worst).rate == 1


def test_one_score_for_all_is_a_coin():
    points = operating_points(np.full(10, 0.3), np.arange(10) < 3)
    assert equal_errors(points).rate == 0.5
    assert minimum_cost(points, 0.01) == 1
    assert np.isfinite(equal_errors(points).threshold)


def test_perfect_separation():
    found = verification_scores(np.array([0.1, 0.2, 0.8]), np.array([False, False, True]))
    assert found == {"EER": 0, "minDCF01": 0, "minDCF05": 0}


def test_trials_without_error_rates_are_refused():
    with pytest.raises(ValueError, match="both are needed"):
        operating_points(np.ones(3), np.ones(3, bool))
    with pytest.raises(ValueError, match="finite"):
        operating_points(np.array([0.1, np.nan]), np.array([True, False]))


def random_scores(seed, count=400, distance=1.5):
    generator = np.random.default_rng(seed)
    target = generator.random(count) < 0.3
    return generator.normal(size=count) + distance * target, target


def slow_cllr(ratios, target):
    misses = [math.log2(1 + math.exp(-r)) for r, t in zip(ratios, target, strict=True) if t]
    accepts = [math.log2(1 + math.exp(r)) for r, t in zip(ratios, target, strict=True) if not t]
    return (sum(misses) / len(misses) + sum(accepts) / len(accepts)) / 2


def test_cllr():
    ratios, target = random_scores(0)
    expected = slow_cllr(ratios.tolist(), target.tolist())
    assert log_likelihood_cost(ratios, target) == pytest.approx(expected)
    assert log_likelihood_cost(np.zeros(400), target) == pytest.approx(1)
    sure = np.where(target, np.inf, -np.inf)
    assert log_likelihood_cost(sure, target) == 0
    assert log_likelihood_cost(-sure, target) == np.inf


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_calibration_is_the_affine_map_of_least_cllr(seed):
    scores, target = random_scores(seed)
    scores = 0.1 * scores + 0.4
    found = fit_calibration(scores, target)
    best = minimize(
        lambda p: log_likelihood_cost(p[0] * scores + p[1], target),
        [1.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000},
    )
    assert log_likelihood_cost(found(scores), target) == pytest.approx(best.fun, abs=1e-6)
    assert found == pytest.approx(Calibration(*best.x), rel=1e-2)


def test_gaussian_scores_get_their_true_ratios():
    """Normal scores of unit variance at 0 and d have the ratio d * s - d * d / 2."""
    scores, target = random_scores(5, count=200_000, distance=2.0)
    assert fit_calibration(scores, target) == pytest.approx(Calibration(2.0, -2.0), abs=0.05)


def test_scores_worse_than_chance_say_nothing():
    scores, target = random_scores(3)
    assert fit_calibration(-scores, target) == Calibration(0.0, 0.0)
    few = fit_calibration(np.array([-1.5, 0.5, 0.0]), np.array([True, False, False]))
    assert few == Calibration(0.0, 0.0)


def test_separated_scores_calibrate_to_something_finite():
    scores, target = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    found = fit_calibration(scores, target)
    assert np.isfinite(found).all()
    assert log_likelihood_cost(found(scores), target) < 0.01
    assert np.isfinite(fit_calibration(np.ones(4), target)).all()


def slow_least_cllr(scores, target):
    """Pool adjacent violators by merging blocks of (hits, trials)."""
    values = sorted(set(scores))
    blocks = []
    for value in values:
        here = [t for s, t in zip(scores, target, strict=True) if s == value]
        blocks.append([sum(here), len(here)])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            hits, count = blocks.pop()
            blocks[-1][0] += hits
            blocks[-1][1] += count
    targets, others = sum(target), len(target) - sum(target)
    cost = 0.0
    for hits, count in blocks:
        share = hits / count
        ratio = math.inf if share == 1 else share / (1 - share) * others / targets
        if hits:
            cost += hits / targets * math.log2(1 + 1 / ratio)
        if count > hits:
            cost += (count - hits) / others * math.log2(1 + ratio)
    return cost / 2


@settings(max_examples=100, deadline=None)
@given(TRIALS)
def test_least_cllr_is_that_of_pooled_violators(trials):
    scores, target = np.array([s for s, _ in trials]), np.array([t for _, t in trials])
    found = least_log_likelihood_cost(scores, target)
    assert found == pytest.approx(slow_least_cllr(scores.tolist(), target.tolist()), abs=1e-9)


def test_no_calibration_beats_the_least_cllr():
    scores, target = random_scores(7)
    fitted = log_likelihood_cost(fit_calibration(scores, target)(scores), target)
    assert least_log_likelihood_cost(scores, target) < fitted


@pytest.fixture
def embeddings():
    generator = np.random.default_rng(0)
    return normalised(generator.normal(size=(30, 8)).astype(np.float32))


def test_cosines(embeddings, monkeypatch):
    monkeypatch.setattr("tasks.speaker.metrics._CHUNK", 7)
    generator = np.random.default_rng(1)
    first, second = generator.integers(30, size=(2, 50))
    expected = [float(embeddings[a] @ embeddings[b]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(
        cosine_scores(embeddings, embeddings, first, second), expected, atol=1e-6
    )


@pytest.mark.parametrize("top", [None, 3, 12, 500])
def test_cohort_statistics(embeddings, top):
    cohort, tested = embeddings[:12], embeddings[12:]
    means, deviations = cohort_statistics(tested, cohort, top)
    for row, vector in enumerate(tested):
        cosines = sorted((float(vector @ other) for other in cohort), reverse=True)[:top]
        assert means[row] == pytest.approx(np.mean(cosines), abs=1e-5)
        assert deviations[row] == pytest.approx(np.std(cosines), abs=1e-5)


def test_cohort_statistics_in_parts(embeddings, monkeypatch):
    embeddings = np.round(embeddings * 64) / 64  # whose products are exact in any order
    whole = cohort_statistics(embeddings, embeddings[:12], 3)
    monkeypatch.setattr("tasks.speaker.metrics._CHUNK", 1)
    parts = cohort_statistics(embeddings, embeddings[:12], 3)
    np.testing.assert_array_equal(whole, parts)


def test_symmetric_normalisation():
    scores = np.array([0.5, 0.1])
    enrol = np.array([0.2, 0.1]), np.array([0.1, 0.2])
    test = np.array([0.1, 0.0]), np.array([0.2, 0.1])
    expected = [0.5 * (0.3 / 0.1 + 0.4 / 0.2), 0.5 * (0 / 0.2 + 0.1 / 0.1)]
    np.testing.assert_allclose(symmetric_normalisation(scores, enrol, test), expected)


def test_normalised():
    rows = normalised(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])
