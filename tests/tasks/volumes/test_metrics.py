"""Scores against numbers of the packages that define them, and what they are where one is empty."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.volumes import metrics, surfaces
from tasks.volumes.config import ScoringConfig
from tasks.volumes.metrics import Pieces, largest_piece, pieces, score, summary
from tests.tasks.volumes import small

DEEPMIND = ScoringConfig()
MEDPY = ScoringConfig(distances="medpy")
UNIT = (1.0, 1.0, 1.0)


def box(low, high, side=32):
    mask = np.zeros((side,) * 3, bool)
    mask[low:high, low:high, low:high] = True
    return mask


def voxels(*places):
    mask = np.zeros((32,) * 3, bool)
    for place in places:
        mask[place] = True
    return mask


def ball(radius, spacing):
    z, y, x = ((np.arange(32) - 16) * step for step in spacing)
    return (z**2)[:, None, None] + (y**2)[:, None] + x**2 <= radius**2


ANISOTROPIC = (2.5, 0.8, 0.8)
CASES = {
    "cubes": (box(8, 20), box(10, 22), UNIT),
    "cubes, thick slices": (box(8, 20), box(10, 22), (3.0, 1.0, 1.0)),
    "balls": (ball(8, ANISOTROPIC), ball(6, ANISOTROPIC), ANISOTROPIC),
    "a voxel far away": (box(8, 20), box(8, 20) | voxels((30, 30, 30)), UNIT),
    "voxels": (voxels((5, 5, 5)), voxels((5, 5, 9)), UNIT),
    "at the border": (box(0, 8, 16), box(0, 6, 16), UNIT),
}
GOLDEN = {
    # Dice; surface-distance: HD100, HD95, NSD at 1 and 2 mm, both ASD; medpy 0.5.2: HD95, ASSD
    "cubes": (
        .578704, 3.464102, 2.236068, .212362, .888629, 1.758634, 1.758634, 2.449490, 1.766583,
    ),
    "cubes, thick slices": (
        .578704, 6.633250, 6.0, .153098, .758056, 2.339215, 2.339215, 6.082763, 2.733808,
    ),
    "balls": (.605208, 2.624881, 2.5, .293419, .741129, 1.544038, 1.309419, 2.529822, 1.701514),
    "a voxel far away": (.999711, 19.052559, 0, .998946, .998946, 0, .038313, 0, .013077),
    "voxels": (0, 4, 4, 0, 0, 3.5, 3.5, 4, 4),
    "at the border": (
        .593407, 3.464102, 2.449490, .539831, .892665, 1.275197, .734065, 2.449490, 1.121574,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_packages(name):
    truth, predicted, spacing = CASES[name]
    dice, most, hd95, near, nsd, there, back, medpy_hd95, assd = GOLDEN[name]
    found = score(truth, predicted, spacing, DEEPMIND)
    close = lambda value: pytest.approx(value, abs=1e-6)  # noqa: E731
    assert found.dice == close(dice)
    assert (found.hd95, found.nsd) == (close(hd95), close(nsd))
    assert found.asd == close((there + back) / 2)
    elements = [surfaces.elements(mask, spacing) for mask in (truth, predicted)]
    distances = surfaces.distances(*elements)
    assert distances.hausdorff(1) == close(most)
    assert distances.agreement(1) == close(near)
    assert distances.average() == (close(there), close(back))
    other = score(truth, predicted, spacing, MEDPY)
    assert (other.hd95, other.asd, other.nsd) == (close(medpy_hd95), close(assd), close(nsd))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_distances_are_those_of_a_distance_map(seed):
    """scipy's plain way over the whole volume, for both definitions of a surface."""
    generator = np.random.default_rng(seed)
    masks = [ndimage.gaussian_filter(generator.random((9, 10, 11)), 1) > 0.5 for _ in range(2)]
    spacing = tuple(generator.uniform(0.5, 3, 3).tolist())
    if not all(mask.any() for mask in masks):
        return
    for surface, shift in ((surfaces.border, 0), (surfaces.elements, 1)):
        points = [surface(mask, spacing).points for mask in masks]
        found = surfaces.distances(*[surface(mask, spacing) for mask in masks])
        lattice = np.ones((9 + shift, 10 + shift, 11 + shift), bool)
        index = [tuple(np.rint(one / np.array(spacing)).astype(int).T) for one in points]
        lattice[index[1]] = False
        plain = ndimage.distance_transform_edt(lattice, sampling=spacing)[index[0]]
        assert np.allclose(found.of_truth, plain)


def test_a_whole_volume_has_the_surface_of_a_box():
    """All but the rounded edges, at any spacing."""
    found = surfaces.elements(np.ones((20, 30, 40), bool), (2.0, 1.0, 0.5))
    faces = 2 * (40 * 30 + 40 * 20 + 30 * 20)
    assert 0.9 * faces < found.areas.sum() < faces


EMPTY = np.zeros((4, 4, 4), bool)
FULL = np.ones((4, 4, 4), bool)


def test_what_is_empty():
    both = score(EMPTY, EMPTY, UNIT, DEEPMIND)
    assert all(math.isnan(value) for value in (both.dice, both.hd95, both.asd, both.nsd))
    for truth, predicted in ((FULL, EMPTY), (EMPTY, FULL)):
        one = score(truth, predicted, (1.0, 2.0, 2.0), DEEPMIND)
        assert (one.dice, one.hd95, one.asd, one.nsd) == (0, math.inf, math.inf, 0)
        assert one.diagonal == pytest.approx(12)
        assert abs(one.volume_error) == pytest.approx(64 * 4 / 1000)


def scores(truth, predicted, common, **more):
    made = dict(millilitres=0.001, hd95=1.0, asd=1.0, nsd=1.0, diagonal=100.0, pieces=None, **more)
    return metrics.Scores(truth, predicted, common, **made)


LITS = [scores(1000, 900, 800), scores(10, 0, 0), scores(0, 30, 0), scores(0, 0, 0)]


def test_dice_per_case_and_of_all_together():
    """The facts of LiTS: the same predictions, three numbers by three rules."""
    cases = [{"tumour": one} for one in LITS]
    found = summary(cases, DEEPMIND)
    assert found["Dice_tumour"] == found["Dice"] == pytest.approx(0.280702, abs=1e-6)
    assert found["Dice_pooled"] == pytest.approx(0.824742, abs=1e-6)
    lits = summary(cases, ScoringConfig(empty_dice="one"))
    assert lits["Dice"] == pytest.approx(0.460526, abs=1e-6)


def test_a_missed_region_never_makes_distances_better():
    sound = {"liver": scores(10, 10, 10)}
    missed = {"liver": scores(10, 0, 0)._replace(hd95=math.inf, asd=math.inf, nsd=0.0)}
    absent = {"liver": scores(0, 0, 0)._replace(hd95=math.nan, asd=math.nan, nsd=math.nan)}
    assert summary([sound, missed, absent], DEEPMIND)["HD95"] == pytest.approx(50.5)
    left = ScoringConfig(empty_distance="leave_out")
    assert summary([sound, missed, absent], left)["HD95"] == 1
    assert summary([sound, missed, absent], DEEPMIND)["NSD"] == 0.5
    nothing = summary([absent], DEEPMIND)
    assert nothing["Dice"] == nothing["HD95"] == metrics.UNDECIDED


def test_lesions_are_found_piece_by_piece():
    truth, predicted = np.zeros((3, 20, 20), bool), np.zeros((3, 20, 20), bool)
    truth[1, 2:6, 2:6] = truth[1, 10:12, 10:12] = True
    truth[2, 6, 6] = True  # touches the first by a corner
    predicted[1, 2:6, 2:4] = True  # half of the first
    predicted[1, 5, 5] = True  # a second piece that touches it
    predicted[0, 18:, 18:] = True  # nothing there
    assert pieces(truth, predicted, 0) == Pieces(2, 1, 1)
    assert pieces(truth, predicted, 9 / 17 - 1e-9) == Pieces(2, 1, 1)
    assert pieces(truth, predicted, 9 / 17) == Pieces(2, 0, 1)
    assert pieces(EMPTY, EMPTY, 0) == Pieces(0, 0, 0)
    assert pieces(EMPTY, FULL, 0) == Pieces(0, 0, 1)
    found = [{"lesion": scores(1, 1, 1)._replace(pieces=Pieces(2, 1, 1))},
             {"lesion": scores(1, 1, 1)._replace(pieces=Pieces(2, 2, 2))}]  # fmt: skip
    assert summary(found, DEEPMIND)["hit_rate"] == 0.75
    assert summary(found, DEEPMIND)["false_positives"] == 1.5


def test_regions_join_labels():
    labels = np.array([0, 1, 2, 2], np.uint8).reshape(1, 2, 2)
    test = ScoringConfig(regions={"liver": (1, 2), "tumour": (2,)})
    wanted = metrics.regions(small.CLASSES, test)
    found = metrics.score_case(labels, labels, wanted, UNIT, test)
    assert (found["liver"].truth, found["tumour"].truth) == (3, 2)
    assert found["liver"].pieces is None and found["tumour"].pieces == Pieces(1, 1, 0)
    assert list(metrics.regions(small.CLASSES, DEEPMIND)) == ["liver", "kidney", "lesion"]


def test_the_largest_piece_alone_is_kept():
    labels = np.zeros((1, 5, 9), np.uint8)
    labels[0, :2, :2] = labels[0, 4, :2] = 1
    labels[0, 4, 8] = 2
    largest_piece(labels, 1)
    assert (labels == 1).sum() == 4 and (labels == 2).sum() == 1
    largest_piece(labels, 3)
