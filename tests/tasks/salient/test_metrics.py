"""Scores against slow code written from the definitions, pysodmetrics, and stored numbers."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt

from benchmarks import salient as benchmark
from tasks.salient import structure
from tasks.salient.metrics import MAIN, e_measure, f_measure, measure, salmetric_curves, scores
from tests.tasks.salient import slow_metrics as slow

HEIGHT, WIDTH = 24, 31


def disc(soft=False):
    """A disc near the middle, with a border of many levels if soft."""
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    cv2.circle(canvas, (14, 11), 6, 255, -1)
    return cv2.GaussianBlur(canvas, (0, 0), 2) if soft else canvas


def one_pixel():
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    canvas[9, 20] = 255
    return canvas


def noise(seed, low=0, high=256):
    generator = np.random.default_rng(seed)
    return generator.integers(low, high, (HEIGHT, WIDTH), dtype=np.uint8)


def level(value):
    return np.full((HEIGHT, WIDTH), value, dtype=np.uint8)


MASKS = {
    "empty": level(0),
    "full": level(255),
    "disc": disc(),
    "soft": disc(soft=True),
    "one pixel": one_pixel(),
    "noise": noise(0),
    "two parts": np.where(noise(1) > 250, 255, disc()).astype(np.uint8),
}
MAPS = {
    "black": level(0),
    "white": level(255),
    "constant 3": level(3),
    "constant 77": level(77),
    "constant 100": level(100),
    "noise": noise(2),
    "few levels": noise(3, 100, 104),
    "disc": disc(),
    "soft": disc(soft=True),
    "inverse": 255 - disc(soft=True),
    "one pixel": one_pixel(),
    "sharp noise": np.where(noise(4) > 200, 255, 0).astype(np.uint8),
}
AWKWARD = [
    pytest.param(predicted, mask, id=f"{name} on {mask_name}")
    for mask_name, mask in MASKS.items()
    for name, predicted in MAPS.items()
]


def expected(predicted, mask):
    """All scores of one picture by the slow code."""
    f_curve, e_curve = slow.f_curve(predicted, mask), slow.e_curve(predicted, mask)
    truth, chosen = mask > 128, slow.adaptive(predicted)
    dice, iou = slow.overlap_curves(predicted, mask)
    return {
        "MaxF": slow.max_f([(predicted, mask)]),
        "MAE": slow.salmetric(predicted, mask)[2],
        "meanF": f_curve.mean(),
        "adaptF": slow.f_of(chosen, truth),
        "Sm": slow.structure(predicted, mask),
        "Em": e_curve.mean(),
        "wF": slow.weighted_f(predicted, mask),
        "MaxF_of_pictures": f_curve.max(),
        "MaxF_stretched": f_curve.max(),
        "MAE_stretched": np.abs(slow.stretched(predicted) - truth).mean(),
        "maxE": e_curve.max(),
        "adaptE": slow.e_of(chosen, truth),
        "mDice": dice.mean(),
        "mIoU": iou.mean(),
        "maxDice": dice.max(),
        "maxIoU": iou.max(),
    }


@pytest.mark.parametrize(("predicted", "mask"), AWKWARD)
def test_one_picture_by_the_definitions(predicted, mask):
    got = scores([measure(predicted, mask)]).metrics
    wanted = expected(predicted, mask)
    assert got.keys() == wanted.keys()
    assert got == pytest.approx(wanted, abs=1e-6)


def test_a_data_set_by_the_definitions():
    pictures = [(MAPS[name], MASKS[mask]) for name, mask in
                (("soft", "disc"), ("noise", "noise"), ("few levels", "two parts"),
                 ("sharp noise", "soft"), ("black", "empty"))]  # fmt: skip
    got = scores([measure(*picture) for picture in pictures])
    each = [expected(*picture) for picture in pictures]
    curves = [slow.salmetric(*picture) for picture in pictures]
    assert got.precision == pytest.approx(np.mean([curve[0] for curve in curves], axis=0))
    assert got.recall == pytest.approx(np.mean([curve[1] for curve in curves], axis=0))
    for name in got.metrics.keys() - {"MaxF", "MaxF_stretched", "maxE", "maxDice", "maxIoU"}:
        assert got.metrics[name] == pytest.approx(np.mean([one[name] for one in each]), abs=1e-6)
    assert got.metrics["MaxF"] == pytest.approx(slow.max_f(pictures))
    f_curves = [slow.f_curve(*picture) for picture in pictures]
    assert got.metrics["MaxF_stretched"] == pytest.approx(np.mean(f_curves, axis=0).max())
    assert got.metrics["MaxF_stretched"] < got.metrics["MaxF_of_pictures"]
    e_curves = [slow.e_curve(*picture) for picture in pictures]
    assert got.metrics["maxE"] == pytest.approx(np.mean(e_curves, axis=0).max())
    overlaps = np.mean([slow.overlap_curves(*picture) for picture in pictures], axis=0)
    assert got.metrics["maxDice"] == pytest.approx(overlaps[0].max())
    assert got.metrics["maxIoU"] == pytest.approx(overlaps[1].max())


@pytest.fixture(scope="module")
def pysodmetrics():
    module = benchmark.pysodmetrics()
    if module is None:
        pytest.skip("pysodmetrics is not installed (pip install --no-deps pysodmetrics)")
    return module


@pytest.mark.parametrize(("predicted", "mask"), AWKWARD)
def test_equal_to_pysodmetrics_on_awkward_maps(predicted, mask, pysodmetrics):
    wanted = benchmark.theirs(pysodmetrics, [(predicted, mask)])
    got = benchmark.ours([(predicted, mask)])
    assert {name: got[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


def test_equal_to_pysodmetrics_on_random_maps(pysodmetrics):
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(40):
        shape = tuple(generator.integers(5, 90, 2))
        coarse = generator.integers(0, 256, (2, 4, 5), dtype=np.uint8)
        pair = [cv2.resize(one, shape, interpolation=cv2.INTER_CUBIC) for one in coarse]
        if generator.random() < 0.5:
            pair[0] = (pair[0] // 16 * 16).astype(np.uint8)
        pairs.append(pair)
    wanted = benchmark.theirs(pysodmetrics, pairs)
    got = benchmark.ours(pairs)
    assert {name: got[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


def test_equal_to_pysodmetrics_on_maps_of_one_level(pysodmetrics):
    """Whether a part that the object fills resembles it, or not at all, is a matter of rounding."""
    generator = np.random.default_rng(1)
    for _ in range(60):
        height, width = generator.integers(3, 60, 2)
        mask = np.zeros((height, width), dtype=np.uint8)
        top, left = generator.integers(height - 2), generator.integers(width - 2)
        mask[top:, left:] = 255  # which fills the quarter behind its centre
        predicted = np.full_like(mask, generator.integers(256))
        wanted = benchmark.theirs(pysodmetrics, [(predicted, mask)])
        got = benchmark.ours([(predicted, mask)])
        assert {name: got[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


def tied(seed):
    """A small map whose mean is often half of one of its levels, and a mask."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(2, 7, 2))
    predicted = generator.choice([0, 51, 102, 153, 204, 255], shape).astype(np.uint8)
    return predicted, (generator.random(shape) > 0.5).astype(np.uint8) * 255


def test_equal_to_pysodmetrics_where_a_level_is_twice_the_mean(pysodmetrics):
    for seed in range(150):
        pair = tied(seed)
        wanted, got = benchmark.theirs(pysodmetrics, [pair]), benchmark.ours([pair])
        for name in ("adaptF", "adaptE"):  # Sm of so small a mask may be NaN there
            assert got[name] == pytest.approx(wanted[name], abs=1e-6), seed


def test_a_level_at_twice_the_mean_counts_as_pysodmetrics_rounds_it():
    """Its mean by levels is the next number, and its F would be 0.6341."""
    assert scores([measure(*tied(465))]).metrics["adaptF"] == pytest.approx(0.7323943661971831)


def test_scores_of_pysodmetrics_as_stored():
    """The oracle's numbers (pysodmetrics 1.6.2), for machines that do not have it."""
    pairs = [(MAPS["soft"], MASKS["disc"]), (MAPS["noise"], MASKS["soft"]),
             (MAPS["constant 77"], MASKS["two parts"])]  # fmt: skip
    golden = {
        "meanF": 0.321216016,
        "adaptF": 0.273709707,
        "MaxF_stretched": 0.396183164,
        "MaxF_of_pictures": 0.461457126,
        "MAE_stretched": 0.318988666,
        "Sm": 0.552446814,
        "Em": 0.470950261,
        "maxE": 0.561543103,
        "adaptE": 0.488024633,
        "wF": 0.370424755,
    }
    got = scores([measure(*pair) for pair in pairs]).metrics
    assert {name: got[name] for name in golden} == pytest.approx(golden, abs=1e-6)


def test_an_object_in_the_corner_has_a_structure_measure():
    """Its centre of mass leaves quarters empty, of which pysodmetrics makes NaN."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[-1, -1] = 255
    assert measure(mask, mask).structure == pytest.approx(1)
    assert measure(255 - mask, mask).structure < 0.1


def test_main_scores_come_first():
    assert tuple(scores([measure(disc(), disc())]).metrics)[: len(MAIN)] == MAIN


def test_nothing_measured_and_different_sizes_are_refused():
    with pytest.raises(ValueError, match="no picture"):
        scores([])
    with pytest.raises(ValueError, match=r"\(24, 31\) and the mask \(24, 30\)"):
        measure(disc(), disc()[:, :-1])


MASK_LEVELS = st.sampled_from([0, 40, 255])
pictures = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.uint8, shape), arrays.arrays(np.uint8, shape, elements=MASK_LEVELS)
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(pictures, min_size=1, max_size=4))
def test_scores_stay_in_their_range_and_do_not_depend_on_the_order(some):
    assume(all(predicted.size > 1 for predicted, _ in some))
    measured = [measure(*picture) for picture in some]
    forwards, backwards = scores(measured).metrics, scores(measured[::-1]).metrics
    assert forwards == pytest.approx(backwards)
    for name, value in forwards.items():
        # E divides by one pixel less than there are.
        assert 0 <= value <= (2 if "E" in name else 1) + 1e-9, name


@settings(max_examples=60, deadline=None)
@given(pictures)
def test_mirrored_pictures_have_the_same_scores(picture):
    """All but those with an order among pixels: quarters, and which of two near pixels counts.

    And but for adaptive ones where a level is twice the mean: the order of its sum decides.
    """
    levels = picture[0].astype(int) - picture[0].min()
    tied = (levels * levels.size == 2 * levels.sum()).any()
    ordered = {"Sm", "wF"} | ({"adaptF", "adaptE"} if tied else set())
    one = scores([measure(*picture)]).metrics
    other = scores([measure(*(np.ascontiguousarray(part[:, ::-1]) for part in picture))]).metrics
    for name in one.keys() - ordered:
        assert one[name] == pytest.approx(other[name]), name


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_nearest_pixels_are_those_of_scipy(inside):
    assume(inside.any())
    inside = np.pad(inside, 9)  # as far as steps lead
    outside = (~inside).view(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    beside, nearest = structure._nearest(distance, inside)
    exact, (rows, columns) = distance_transform_edt(~inside, return_indices=True)
    assert np.abs(distance - exact).max() < 1e-5
    assert beside.tolist() == np.flatnonzero((exact > 0) & (exact < 4.25)).tolist()
    assert nearest.tolist() == (rows * inside.shape[1] + columns).ravel()[beside].tolist()


def test_a_perfect_map_has_perfect_scores():
    got = scores([measure(disc(), disc()), measure(one_pixel(), one_pixel())]).metrics
    for name in ("MaxF", "adaptF", "Sm", "wF", "MaxF_of_pictures"):
        assert got[name] == pytest.approx(1, abs=1e-3), name
    assert got["MAE"] == got["MAE_stretched"] == 0


def test_salmetric_takes_maps_as_they_are():
    """A pale map is stretched by pysodmetrics' definition, and not by SalMetric's."""
    pale = (disc() // 5).astype(np.uint8)
    got = scores([measure(pale, disc())]).metrics
    assert got["MAE"] > 0.1
    assert got["MAE_stretched"] == 0
    precision, recall = salmetric_curves(*(part[None] for part in measure(pale, disc())[:2]))
    assert recall[50] == pytest.approx(1)
    assert recall[51] == pytest.approx(0, abs=1e-5), "51 is not above 51"
    assert precision[255] == pytest.approx(1), "nothing found is not wrong"


def test_f_and_e_by_hand():
    """4 of 6 found pixels are right, of 8 in 20 pixels."""
    true, false, area, size = (np.array([count]) for count in (4, 2, 8, 20))
    assert f_measure(true, false, area) == pytest.approx(1.3 * (2 / 3) * 0.5 / (0.2 + 0.5))
    found, truth = np.zeros(20, bool), np.zeros(20, bool)
    truth[:8], found[4:10] = True, True
    assert e_measure(true, false, area, size) == pytest.approx(slow.e_of(found, truth))
