"""Panoptic quality against numbers of COCO's own evaluator, hotcoco, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.panoptic.metrics import NAMES, Segment, Tally, class_scores, compare, overlaps, scores
from tests.tasks.panoptic import evaluator

BALL, CRATE, GRASS, SKY = range(4)
THINGS = (True, True, False, False)
CLASS = {"A": BALL, "B": BALL, "K": BALL, "M": BALL, "C": CRATE, "D": CRATE, "G": GRASS, "S": SKY}
CLASS["T"] = SKY
UNTOLD = -1.0


def grid(*rows):
    """Numbers of the letters of rows, "." being void; a row "AB x3" stands three times."""
    lines = []
    for row in rows:
        text, _, times = row.partition(" x")
        lines += [text] * int(times or 1)
    return np.array([[0 if one == "." else ord(one) for one in line] for line in lines])


def tally(truth, found, crowds="", areas=None, balls=""):
    """Counts of one picture; `balls` are letters that are balls in the prediction."""
    truth, found = (grid(*one) if isinstance(one, tuple) else grid(one) for one in (truth, found))
    true = {
        number: Segment(
            CLASS[chr(number)],
            (areas or {}).get(chr(number), int((truth == number).sum())),
            chr(number) in crowds,
        )
        for number in np.unique(truth[truth > 0]).tolist()
    }
    named = {
        number: BALL if chr(number) in balls else CLASS[chr(number)]
        for number in np.unique(found[found > 0]).tolist()
    }
    return compare(truth, true, found, named, 4)


def counts(one, label):
    """iou, tp, fp and fn of a class."""
    return (
        pytest.approx(one.iou[label], abs=1e-9),
        *(int(part[label]) for part in (one.found, one.wrong, one.missed)),
    )


G2 = tally(
    ("AAAABBBBSS x3", "GGGGGGGGSS x2", "GGGGGGGG.."),
    ("AAABBBBBSS x3", "GGGGGGGSSS", "GGGGCCGSSS x2"),
)
G9 = tally("AAAASSSSSS", "AAAASSSSSS").plus(tally("AABBSSSSSS", "AASSSSSSSS"))

EXPECTED = {
    "one of each, void": (
        G2,
        {BALL: (1.55, 2, 0, 0), CRATE: (0, 0, 1, 0), GRASS: (17 / 24, 1, 0, 0),
         SKY: (10 / 13, 1, 0, 0)},
        (.563141, .563141, .75, .3875, .3875, .5, .738782, .738782, 1),
    ),
    "half is no match": (
        tally("AAAAAAAASS", "AAAASSSSSS"), {BALL: (0, 0, 1, 1), SKY: (0, 0, 1, 1)},
        (0, 0, 0, 0, 0, 0, 0, 0, 0),
    ),
    "void leaves the union": (
        tally("AAAA....SS", "AAAAAAAASS"), {BALL: (1, 1, 0, 0)}, (1,) * 9,
    ),
    "half on void is wrong": (
        tally("AA..SSSSSS", "AACCCCSSSS"), {CRATE: (0, 0, 1, 0), SKY: (4 / 6, 1, 0, 0)},
        (5 / 9, 5 / 9, 2 / 3, .5, .5, .5, 2 / 3, 2 / 3, 1),
    ),
    "more on void is not": (
        tally("AA...SSSSS", "AACCCCSSSS"), {CRATE: (0, 0, 0, 0), SKY: (.8, 1, 0, 0)},
        (.9, .9, 1, 1, 1, 1, .8, .8, 1),
    ),
    "a crowd excuses its class alone": (
        tally(("AAKKKKKKSS", "SSSSSSSSSS"), ("AABBBDDDSS", "SSSSSSSSSS"), crowds="K"),
        {BALL: (1, 1, 0, 0), CRATE: (0, 0, 1, 0)},
        (2 / 3, 2 / 3, 2 / 3, .5, .5, .5, 1, 1, 1),
    ),
    "of two crowds the last excuses": (
        tally(("KKKKMMMMSS", "SSSSSSSSSS"), ("AAAABBBBSS", "SSSSSSSSSS"), crowds="KM"),
        {BALL: (0, 0, 1, 0)}, (.5, .5, .5, 0, 0, 0, 1, 1, 1),
    ),
    "void that is predicted earns nothing": (
        tally(("AAAAAASSSS", "BBBBBBSSSS"), ("AAAA..SSSS", "BB....SSSS")),
        {BALL: (2 / 3, 1, 1, 1), SKY: (1, 1, 0, 0)},
        (2 / 3, 5 / 6, .75, 1 / 3, 2 / 3, .5, 1, 1, 1),
    ),
    "another class is wrong and missed": (
        tally("AAAASSSSSS", "CCCCSSSSSS"), {BALL: (0, 0, 0, 1), CRATE: (0, 0, 1, 0)},
        (1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 1, 1, 1),
    ),
    "two pictures": (
        G9, {BALL: (2, 2, 0, 1), SKY: (1.75, 2, 0, 0)},
        (.8375, .9375, .9, .8, 1, .8, .875, .875, 1),
    ),
    "stuff alone": (
        tally("SSSSSSSSSS", "SSSSSSSTTT"), {SKY: (.7, 1, 1, 0)},
        (.466667, .7, .666667, UNTOLD, UNTOLD, UNTOLD, .466667, .7, .666667),
    ),
    "areas are the file's": (
        tally("AAAASSSSSS", "AAAASSSSSS", areas={"A": 8}), {BALL: (0, 0, 1, 1)},
        (.5, .5, .5, 0, 0, 0, 1, 1, 1),
    ),
}  # fmt: skip
"""Counts of classes, and PQ, SQ, RQ of all, things and stuff, that COCO's evaluator gives."""
ORDER = (
    "PQ", "SQ", "RQ", "PQ_things", "SQ_things", "RQ_things", "PQ_stuff", "SQ_stuff", "RQ_stuff",
)  # fmt: skip


@pytest.mark.parametrize("case", EXPECTED)
def test_scores_are_those_of_cocos_evaluator(case):
    found, classes, expected = EXPECTED[case]
    for label, wanted in classes.items():
        assert counts(found, label) == wanted
    quality = scores(found, THINGS)
    assert [quality[name] for name in ORDER] == pytest.approx(expected, abs=1e-6)
    assert tuple(quality) == NAMES


def test_the_large_one():
    total = Tally.empty(4)
    for number in range(3):
        truth, true, found, named = evaluator.large(number)
        total = total.plus(compare(truth, true, found, named, 4))
    assert total.iou == pytest.approx([11.455463701, 14.235389229, 0.642424242, 0.661202186])
    assert total.found.tolist() == [15, 19, 1, 1]
    assert total.wrong.tolist() == [7, 1, 2, 2]
    assert total.missed.tolist() == [11, 7, 2, 2]
    quality = scores(total, THINGS)
    assert [quality[name] for name in ORDER] == pytest.approx([
        0.382695774, 0.704138755, 0.529438406, 0.548120477, 0.756464296, 0.725543478, 0.217271071,
        0.651813214, 0.333333333,
    ])  # fmt: skip


def test_hotcoco_agrees(tmp_path):
    panoptic = pytest.importorskip("hotcoco").panoptic
    truth, found = evaluator.write(tmp_path, [evaluator.large(number) for number in range(3)])
    told = panoptic.pq_compute(*map(str, (truth, found)))
    total = Tally.empty(4)
    for number in range(3):
        one, true, other, named = evaluator.large(number)
        total = total.plus(compare(one, true, other, named, 4))
    quality = scores(total, THINGS)
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for name in ("pq", "sq", "rq"):
            assert told[group][name] == pytest.approx(quality[name.upper() + suffix])


def test_a_class_that_is_nowhere_does_not_count():
    each = class_scores(tally("AAAASSSSSS", "AAAASSSSSS"))
    assert np.isnan(each["PQ"][[CRATE, GRASS]]).all() and np.isnan(each["SQ"][CRATE])
    assert scores(Tally.empty(4), THINGS) == dict.fromkeys(NAMES, UNTOLD)


def test_predictions_that_contradict_themselves():
    truth, segment = grid("AAAA"), {65: Segment(BALL, 4)}
    for found, named, message in (
        (grid("AABB"), {65: BALL}, "2 pixels of 66"),
        (grid("AAAA"), {65: BALL, 66: BALL}, "segment 66 has no pixel"),
        (grid("AAAA"), {65: 9}, "class 9; known are 0 to 3"),
        (grid("AAAAA"), {65: BALL}, r"truth is \(1, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(truth, segment, found, named, 4)


maps = arrays.arrays(np.int32, (5, 6), elements=st.integers(0, 4))


@given(maps, maps)
def test_overlaps_are_those_of_a_loop(first, second):
    found = overlaps(first, second)
    pairs = list(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == sorted(
        set(pairs)
    )
    for one, two, pixels in zip(found.first, found.second, found.pixels, strict=True):
        assert pixels == pairs.count((one, two))


@given(maps)
def test_the_truth_given_back_is_perfect_whatever_its_numbers(truth):
    true = {
        number: Segment(number % 4, int((truth == number).sum()))
        for number in np.unique(truth[truth > 0]).tolist()
    }
    named = {number + 70_000: one.label for number, one in true.items()}
    found = np.where(truth > 0, truth + 70_000, 0)
    total = compare(truth, true, found, named, 4)
    assert total.iou.tolist() == total.found.tolist()
    assert not total.wrong.any() and not total.missed.any()
    if true:
        assert scores(total, THINGS)["PQ"] == 1
