"""Generated pictures: what is painted, where it is laid, and what it is laid on."""

import numpy as np
import pytest

from common.sample.scenery import backdrop, gather, lay, photograph, places, thing_of
from common.sample.things import (
    COLOURS,
    Painted,
    Thing,
    ball,
    crate,
    fish,
    flower,
    mushroom,
    paint,
    scrap,
    wheel,
)

PAINTERS = (ball, crate, fish, flower, mushroom, scrap, wheel)


@pytest.mark.parametrize("painter", PAINTERS, ids=lambda painter: painter.__name__)
def test_a_painted_thing_covers_what_it_colours(painter):
    generator = np.random.default_rng(0)
    texture = np.ones((300, 300), np.float32)
    for size in (48, 81):
        one = paint(Thing(painter, tuple(COLOURS)), size, texture, generator)
        assert one.colour.shape == (size, size, 3)
        assert (one.colour[one.coverage == 0] == 0).all()
        assert 0.1 < one.coverage.mean() < 0.8
        border = np.concatenate([one.coverage[0], one.coverage[-1], one.coverage[:, 0]])
        assert border.mean() < 0.1, "the canvas holds it, but for the tip of a corner"


def test_held_out_pictures_have_other_scenery():
    own, held_out = gather(False), gather(True)
    pairs = [(a, b) for a in own.photographs for b in held_out.photographs]
    assert not any(np.array_equal(a, b) for a, b in pairs)


def test_a_thing_is_laid_around_its_place_and_cut_off_at_the_border():
    colour, coverage = np.full((4, 4, 3), 200, np.uint8), np.ones((4, 4), np.float32)
    square = Painted(colour, coverage)
    picture = np.zeros((10, 20, 3), np.uint8)
    covered = lay(picture, square, np.array([0.5, 0.5]))
    expected = np.zeros((10, 20), bool)
    expected[3:7, 8:12] = True
    np.testing.assert_array_equal(covered, expected)
    np.testing.assert_array_equal(picture[..., 0], 200 * expected)
    for place, part in (((0, 0), np.s_[:2, :2]), ((1, 1), np.s_[8:, 18:])):
        covered = lay(picture, square, np.array(place, float))
        assert covered[part].all()
        assert covered.sum() == 4


def test_a_half_transparent_edge_mixes_and_does_not_count_as_covered():
    square = Painted(np.full((2, 2, 3), 50, np.uint8), np.full((2, 2), 0.5, np.float32))
    picture = np.full((2, 2, 3), 100, np.uint8)
    assert not lay(picture, square, np.array([0.5, 0.5])).any()
    assert (picture == 100).all()  # half of 100, and 50 that is half covered already


def test_things_have_the_sizes_asked_for_and_places_lie_in_the_picture():
    scenery, generator = gather(False), np.random.default_rng(0)
    sizes = {
        len(thing_of(Thing(ball, ("red", "blue")), scenery, 20, 23, generator).coverage)
        for _ in range(40)
    }
    assert sizes == {20, 21, 22, 23}
    for things in range(7):
        found = places(things, generator)
        assert found.shape == (things, 2)
        assert ((found > 0) & (found < 1)).all()


def test_a_backdrop_is_seen_by_a_camera():
    scenery, generator = gather(True), np.random.default_rng(0)
    picture = photograph(backdrop(scenery, 70, 50, generator), generator)
    assert picture.shape == (50, 70, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 5
