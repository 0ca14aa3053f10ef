"""The robot user against recorded clicks of published robots, and against plain distances."""

import numpy as np
import pytest

from tasks.interactive import metrics
from tasks.interactive.baselines import Discs, mean_radius
from tasks.interactive.clicks import Click, parse
from tasks.interactive.evaluate import play
from tasks.interactive.robot import depths, next_click, overlap, structural

Y, X = np.mgrid[:48, :64]
NOTHING = np.zeros((48, 64), bool)
RECTANGLE = (Y >= 10) & (Y <= 33) & (X >= 12) & (X <= 51)
RING = (Y - 24) ** 2 + (X - 32) ** 2
TRUTHS = {
    "rectangle": (RECTANGLE, NOTHING),
    "ring": ((RING > 64) & (RING <= 324), NOTHING),
    "L": (
        (Y >= 4) & (Y <= 43) & (X >= 6) & (X <= 19) | (Y >= 30) & (Y <= 43) & (X >= 6) & (X <= 57),
        NOTHING,
    ),
    "two discs": (
        ((Y - 16) ** 2 + (X - 18) ** 2 <= 100) | ((Y - 30) ** 2 + (X - 46) ** 2 <= 144),
        NOTHING,
    ),
    "band": (RECTANGLE, (Y >= 8) & (Y <= 35) & (X >= 10) & (X <= 53) & ~RECTANGLE),
    "corner": ((Y <= 19) & (X <= 29), NOTHING),
}
RECORDED = {
    "rectangle": (
        (5, 6, 7, 8),
        "23,21,+ 47,14,+ 47,29,+ 23,5,- 7,21,- 19,37,- 32,36,- 11,7,- 35,7,- 8,32,-",
        [0.484930, 0.575737, 0.643432, 0.713755, 0.801336, 0.893023, 0.929332, 0.961924, 0.985626,
         1],
    ),
    "ring": (
        (6, 7, 8, 9),
        "27,12,+ 32,24,- 15,6,- 42,34,+ 41,4,- 25,36,+ 28,3,- 11,18,- 47,22,+ 15,29,+ 34,41,+",
        [0.311081, 0.384311, 0.464115, 0.613397, 0.692973, 0.827027, 0.875286, 0.942118, 0.993842,
         0.998768, 1],
    ),
    "L": (
        (6, 6, 7, 9),
        "14,35,+ 41,36,+ 11,9,+ 24,23,- 54,33,+ 3,44,- 3,22,- 1,33,- 15,45,- 27,45,- 33,29,- "
        "49,43,+",
        [0.391711, 0.547460, 0.660428, 0.722222, 0.791667, 0.859524, 0.916244, 0.928816, 0.968694,
         0.991766, 0.992674, 1],
    ),
    "two discs": (
        (6, 6, 7, 8),
        "46,30,+ 18,16,+ 37,17,- 55,17,- 33,39,- 59,39,- 45,45,- 29,27,- 61,27,- 46,10,-",
        [0.291667, 0.501323, 0.561898, 0.635373, 0.735922, 0.860386, 0.917676, 0.965605, 0.996058,
         1],
    ),
    "band": (
        (5, 5, 6, 7),
        "23,21,+ 47,14,+ 47,29,+ 23,4,- 6,21,- 19,38,- 12,6,- 34,6,- 8,32,- 31,37,-",
        [0.544771, 0.646351, 0.722348, 0.786885, 0.864086, 0.932039, 0.953327, 0.964824, 0.976602,
         1],
    ),
    "corner": (
        (2, 2, 3, 3),
        "9,9,+ 5,24,- 18,23,- 28,18,+ 27,0,+",
        [0.716437, 0.859940, 0.953333, 0.978333, 1],
    ),
}  # fmt: skip


class Toy:
    """A disc around the first click; later ones bring the truth around them."""

    def __init__(self, truth):
        self.truth, self.mask, self.begun = truth, np.zeros_like(truth), False

    def click(self, x, y, positive=True):
        squared = (Y - y) ** 2 + (X - x) ** 2
        if not self.begun:
            self.mask, self.begun = squared <= 400, True
        else:
            self.mask = np.where(squared <= 100, self.truth, self.mask)
        return self.mask


@pytest.mark.parametrize("name", TRUTHS)
def test_the_clicks_are_the_recorded_ones(name):
    truth, ignored = TRUTHS[name]
    needed, clicks, overlaps = RECORDED[name]
    played = play(Toy(truth), truth, ignored, 20)
    expected = parse(clicks)
    assert tuple(played.clicks[: len(expected)]) == expected
    assert played.overlaps[: len(overlaps)] == pytest.approx(overlaps, abs=1e-6)
    found = np.array([played.overlaps])
    at = (0.8, 0.85, 0.9, 0.95)
    assert tuple(int(metrics.clicks_needed(found, one)[0]) for one in at) == needed


def test_scores_of_all_recorded_sequences():
    all_played = [play(Toy(truth), truth, ignored, 20) for truth, ignored in TRUTHS.values()]
    found = np.array([played.overlaps for played in all_played])
    scores = metrics.summary(found)
    assert scores["NoC80"] == 5 and scores["NoC85"] == pytest.approx(5.333333, abs=1e-6)
    assert scores["NoC90"] == pytest.approx(6.333333, abs=1e-6)
    assert scores["failures85"] == scores["failures90"] == 0
    curve = metrics.curve(found)
    expected = {1: 0.456766, 2: 0.585853, 3: 0.667592, 5: 0.814331, 10: 0.998422, 20: 1.0}
    assert {step: curve[step - 1] for step in expected} == pytest.approx(expected, abs=1e-6)
    # Nothing is left to correct: no further click, and the overlap stays.
    assert len(all_played[-1].clicks) == 5 and len(all_played[-1].overlaps) == 20


def test_discs_around_clicks_are_the_recorded_harder_toy():
    """Ties of distances are broken as by whole numbers; in 32 bits the ring's fifth differs."""
    played = {
        name: play(Discs(48, 64, 400), truth, ignored, 20)
        for name, (truth, ignored) in TRUTHS.items()
    }
    assert played["ring"].clicks[4] == Click(53, 10, False)
    found = np.array([one.overlaps for one in played.values()])
    scores = metrics.summary(found)
    assert scores["NoC80"] == pytest.approx(15.166667, abs=1e-6)
    assert scores["NoC85"] == 16
    assert scores["NoC90"] == pytest.approx(16.833333, abs=1e-6)
    assert scores["failures90"] == pytest.approx(4 / 6)
    curve = metrics.curve(found)
    for step, expected in ((5, 0.555442), (10, 0.726333), (20, 0.836812)):
        assert curve[step - 1] == pytest.approx(expected, abs=1e-6)


def plain_depths(region):
    outside = np.argwhere(~np.pad(region, 1)) - 1
    found = np.zeros(region.shape, int)
    for y, x in np.argwhere(region):
        found[y, x] = ((outside - (y, x)) ** 2).sum(axis=1).min()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_depths_are_exact(seed):
    generator = np.random.default_rng(seed)
    region = generator.random((40, 57)) < 0.97
    region[:8] &= generator.random((8, 57)) < 0.3
    assert (depths(region) == plain_depths(region)).all()
    assert not depths(np.zeros((5, 6), bool)).any()


def test_large_depths_are_exact():
    region = np.ones((1500, 1601), bool)
    found = depths(region)
    assert found.max() == 750**2 and found[10, 800] == 121


def test_a_tie_is_negative_and_what_was_clicked_is_left_alone():
    truth, mask = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    truth[2:7, 2:7], mask[2:7, 12:17] = True, True
    nothing = np.zeros_like(truth)
    click = next_click(mask, truth, nothing, ())
    assert click == Click(14, 4, False)
    assert next_click(mask, truth, nothing, (click,)) == Click(4, 4, True)
    assert next_click(truth, truth, nothing, ()) is None
    assert next_click(mask, truth, mask | truth, ()) is None


def test_random_places_are_deep_enough_and_repeat():
    truth = RECTANGLE
    found = [
        next_click(NOTHING, truth, NOTHING, (), np.random.default_rng(seed)) for seed in range(40)
    ]
    deep = depths(truth)
    assert all(4 * deep[one.y, one.x] >= deep.max() for one in found)
    assert len(set(found)) > 20
    assert found[3] == next_click(NOTHING, truth, NOTHING, (), np.random.default_rng(3))


def test_structural_integrity():
    rows = ("11001", "11010", "00100", "10001", "11011")
    mask = np.array([[letter == "1" for letter in row] for row in rows])

    def kept(*places):
        return structural(mask, [Click(x, y) for x, y in places])

    assert kept((0, 0)).sum() == 4 and kept((0, 0))[:2, :2].all()
    assert kept((2, 2)).sum() == 1, "diagonals do not join"
    assert kept((0, 0), (4, 4)).sum() == 7
    assert not kept((2, 0)).any() and not kept().any()
    assert not structural(mask, [Click(0, 0, False)]).any()


def test_overlap_leaves_ignored_pixels_out():
    truth, mask, ignored = (np.zeros((4, 5), bool) for _ in range(3))
    truth[0], mask[0, :3], mask[1, :2], ignored[1] = True, True, True, True
    assert overlap(mask, truth, ignored) == 3 / 5


def test_failures_and_the_mean_radius():
    overlaps = np.array([[0.5, 0.86, 0.7], [0.2, 0.3, 0.9]])
    scores = metrics.summary(overlaps)
    assert scores == pytest.approx(
        {"NoC80": 2.5, "NoC85": 2.5, "NoC90": 3.0, "failures85": 0.0, "failures90": 0.5}
    )
    assert mean_radius([314, 1257]) == pytest.approx(15, abs=0.01)
