"""The scores against a pixel-by-pixel oracle, known values, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.depth import metrics
from tasks.depth.metrics import NAMES, Range
from tests.tasks.depth import oracle

TRUTH = np.array([[1, 2, 4], [8, 0, 0.5]])
FOUND = np.array([[1.1, 1.8, 5], [6, 3, 0.5]])
LIMITS = Range(0.001, 10)
VALID = metrics.valid(TRUTH, "none", LIMITS)


def measured(truth, found, limits=LIMITS, crop="none"):
    inside = metrics.valid(truth, crop, limits)
    scores = metrics.measure(truth[inside], metrics.clipped(found[inside], limits))
    return dict(zip(NAMES, scores.tolist(), strict=True))


def test_known_values():
    expected = {
        "AbsRel": 0.14, "SqRel": 0.156, "RMSE": 1.0049875621, "RMSElog": 0.1747792253,
        "log10": 0.0617997851, "SILog": 17.4141430119, "delta1": 0.6, "delta2": 1, "delta3": 1,
    }  # fmt: skip
    assert measured(TRUTH, FOUND) == pytest.approx(expected, abs=1e-9)


depths = st.floats(0.0078125, 20, width=32)
maps = arrays(np.float32, (5, 7), elements=depths | st.just(0.0))
guesses = arrays(
    np.float32, (5, 7), elements=st.floats(-2, 30, width=32) | st.just(np.nan) | st.just(np.inf)
)


@settings(max_examples=60)
@given(maps, guesses)
def test_equal_to_the_definitions(truth, found):
    valid = metrics.valid(truth, "none", LIMITS)
    assert np.array_equal(valid, (truth > 0.001) & (truth < 10))
    if valid.any():
        rows = [one.astype(np.float64).tolist() for one in (truth, found)]
        expected = oracle.scores(*rows, valid.tolist(), *LIMITS)
        # The oracle's deviation is a root of a difference: it has half of the digits.
        doubles = [one.astype(np.float64) for one in (truth, found)]
        assert measured(*doubles) == pytest.approx(expected, abs=1e-5, rel=1e-8)
        assert measured(truth, found) == pytest.approx(expected, abs=5e-4, rel=1e-5)


def test_what_is_not_valid_changes_nothing():
    found = FOUND.copy()
    for anything in (np.nan, np.inf, -5, 1e9):
        found[~VALID] = anything
        assert measured(TRUTH, found) == measured(TRUTH, FOUND)


def test_a_scale_changes_all_but_silog():
    one, two = measured(TRUTH, FOUND / 2), measured(TRUTH, FOUND)
    assert one["SILog"] == pytest.approx(two["SILog"])
    assert one["AbsRel"] != pytest.approx(two["AbsRel"], rel=0.1)


def test_the_mean_is_over_pictures_and_not_over_pixels():
    ones = np.ones(4)
    pictures = [metrics.measure(ones[:2] * 5, ones[:2] * 6), metrics.measure(ones * 5, ones * 8)]
    assert metrics.means(pictures)["RMSE"] == pytest.approx(2.0)


def test_the_median_factor_and_least_squares():
    truth, found = TRUTH[VALID], FOUND[VALID]
    scaled = metrics.alignment(truth, found, "median", True)(found)
    np.testing.assert_allclose(scaled, found * 10 / 9)
    assert metrics.measure(truth, scaled)[0] == pytest.approx(0.1777777778)
    scale, shift = metrics.fit(truth, 1 / found)
    assert (scale, shift) == pytest.approx((1.009422, 0.00151765), abs=1e-6)
    fitted = metrics.alignment(truth, found, "least_squares", True)(found)
    np.testing.assert_allclose(fitted, 1 / (scale / found + shift))
    np.testing.assert_array_equal(metrics.alignment(truth, found, "none", True)(found), found)


@pytest.mark.parametrize("metric", [True, False])
def test_a_right_answer_of_any_scale_and_shift_is_aligned_to_the_truth(metric):
    truth = np.linspace(1, 9, 20)
    inverse = 3 / truth + 0.7
    found = 1 / inverse if metric else inverse
    bring = metrics.alignment(truth, found, "least_squares", metric)
    np.testing.assert_allclose(bring(found), truth)


def test_what_would_lie_behind_the_camera_is_far_away():
    truth = np.array([1.0, 2, 5])
    bring = metrics.alignment(truth, 1 / truth, "least_squares", False)
    assert metrics.clipped(bring(np.array([-0.5])), LIMITS) == [10]


CROPS = {
    "garg": ((153, 371, 44, 1197), (151, 366, 44, 1181), (143, 349, 43, 1172)),
    "eigen_kitti": ((124, 342, 44, 1197), (122, 337, 44, 1181), (117, 321, 43, 1172)),
}


@pytest.mark.parametrize("name", CROPS)
def test_crops_of_kitti(name):
    for size, wanted in zip(((375, 1242), (370, 1226), (352, 1216)), CROPS[name], strict=True):
        rows, columns = metrics.window(name, *size)
        assert (rows.start, rows.stop, columns.start, columns.stop) == wanted


def test_the_crop_of_nyu():
    truth = np.ones((480, 640))
    assert metrics.valid(truth, "eigen_nyu", LIMITS).sum() == 238_560
    assert metrics.window("eigen_nyu", 480, 640) == (slice(45, 471), slice(41, 601))
    with pytest.raises(ValueError, match="640x480 pixels, found 320x240"):
        metrics.window("eigen_nyu", 240, 320)
