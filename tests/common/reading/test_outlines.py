"""Outlines beside pycocotools, bit for bit, and every kind that is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from common.reading.outlines import (
    BadEntry,
    as_coco,
    decode,
    encode,
    pack,
    parse,
    run_lengths,
)
from tests.tasks.detection import small

SIZE = (small.HEIGHT, small.WIDTH)


@st.composite
def bitmaps(draw):
    """Noise or blocks, from a pixel to runs of many thousands."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = (generator.random((height, width)) < draw(st.sampled_from([0, 0.1, 0.5, 1]))).astype(
        "u1"
    )
    return np.asfortranarray(np.kron(mask, np.ones((draw(st.sampled_from([1, 9])),) * 2, "u1")))


@given(mask=bitmaps())
def test_run_lengths_are_those_that_pycocotools_encodes(mask):
    counts = coco_mask.encode(mask)["counts"]
    lengths = run_lengths(counts)
    assert lengths.sum() == mask.size
    np.testing.assert_array_equal(
        np.repeat(np.arange(len(lengths)) % 2, lengths), mask.ravel(order="F")
    )
    np.testing.assert_array_equal(decode([counts], *mask.shape)[0], mask)
    plain = {"size": list(mask.shape), "counts": lengths.tolist()}
    assert parse(plain, *mask.shape) == counts
    assert parse({**plain, "counts": counts.decode()}, *mask.shape) == counts


coordinates = st.floats(-30, 90).map(lambda value: round(value, 2))
rings = st.lists(coordinates, min_size=6, max_size=16).map(lambda ring: ring[: len(ring) // 2 * 2])


@given(polygons=st.lists(rings, min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(polygons):
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 50, 60)))
    found = decode([encode(parse(polygons, 50, 60), 50, 60)], 50, 60)
    np.testing.assert_array_equal(found[0], expected)


def test_no_objects_and_empty_masks():
    assert decode([], 4, 5).shape == (0, 4, 5)
    assert not decode(
        [None, coco_mask.encode(np.zeros((4, 5), "u1", order="F"))["counts"]], 4, 5
    ).any()


def test_packing_gives_every_kind_back():
    runs = parse(small.runs(small.square()), *SIZE)
    outlines = [parse([small.TRIANGLE, [1, 2, 3, 4, 5, 6.5]], *SIZE), None, runs, None, None]
    packed = pack(outlines)
    assert len(packed) == 5
    assert packed.missing().tolist() == [1, 3, 4]
    assert [type(one) for one in packed] == [list, type(None), bytes, type(None), type(None)]
    assert packed[2] == runs
    assert [ring.ravel().tolist() for ring in packed[0]] == [small.TRIANGLE, [1, 2, 3, 4, 5, 6.5]]
    assert as_coco(packed[0], SIZE) == [small.TRIANGLE, [1, 2, 3, 4, 5, 6.5]]
    assert as_coco(packed[2], SIZE) == {"size": [120, 160], "counts": runs}
    chosen = packed.select(np.array([2, 3]))
    assert [chosen[0], chosen[1]] == [runs, None]
    assert len(pack([])) == 0


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_an_object_without_an_outline(nothing):
    assert parse(nothing, *SIZE) is None


SOUND = small.runs(small.square())


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3, 4]], "a polygon of 2 points, and three points are the least"),
        ([small.TRIANGLE, []], "a polygon of 0 points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "an odd number of coordinates"),
        ([[1, 2, 3, 4, 5, float("nan")]], "infinite or not numbers"),
        ([[1, 2, 3, 4, 5, float("-inf")]], "infinite or not numbers"),
        ([[1, 2, 3, 4, 5, "x"]], "not numbers"),
        ([[1, 2, 3, 4, 5, None]], "not numbers"),
        ([[[1, 2], [3, 4], [5, 6]]], "not a list x, y, x, y"),
        ([1, 2, 3, 4, 5, 6], "not a list x, y, x, y"),
        ("mask.png", "of type str"),
        ({**SOUND, "size": [160, 120]}, "size [160, 120] (height, width), its picture has [120,"),
        ({"counts": SOUND["counts"]}, "size None"),
        ({"size": [120, 160]}, "cannot be decoded"),
        ({"size": [120, 160], "counts": [5, 6, 7]}, "of 18 pixels, its picture has 19,200"),
        ({"size": [120, 160], "counts": [-1, 19201]}, "of 19,200 pixels"),
        ({"size": [120, 160], "counts": [1.5, "x"]}, "cannot be decoded"),
        ({"size": [120, 160], "counts": "zz"}, "cannot be decoded"),
        ({"size": [120, 160], "counts": "\u00e9"}, "cannot be decoded"),
        ({"size": [120, 160], "counts": "o" * 40 + "1"}, "cannot be decoded"),
        ({**SOUND, "counts": SOUND["counts"][:-3]}, "run lengths"),
        ({**SOUND, "counts": 7}, "run lengths"),
    ],
)  # fmt: skip
def test_what_is_refused(segmentation, words):
    with pytest.raises(BadEntry) as caught:
        parse(segmentation, *SIZE)
    assert words in str(caught.value)
