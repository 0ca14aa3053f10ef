"""Views: picture, boxes and masks go the same way; jitter and copy-paste as published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.reading.outlines import decode, encode
from tasks.detection.transforms import (
    Scene,
    View,
    boxes_of,
    chosen,
    draw,
    fitted,
    jittered,
    look,
    move,
    move_boxes,
    paste,
    visible,
)

STORED = (60, 80)
POLYGON = np.array([[12.0, 8.0], [63.0, 14.0], [40.0, 52.0]])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((480, 640), (800, 1067)),
        ((427, 640), (800, 1199)),
        ((640, 480), (1067, 800)),
        ((200, 1000), (267, 1333)),
        ((1, 5000), (1, 1333)),
    ],
)
def test_sizes_are_those_of_the_published_code(stored, expected):
    assert fitted(stored, 800, 1333) == expected


VIEWS = {
    "whole": View(STORED, STORED),
    "larger": View(STORED, (97, 128)),
    "smaller": View(STORED, (44, 61)),
    "mirrored": View(STORED, STORED, mirrored=True),
    "mirrored and larger": View(STORED, (97, 128), mirrored=True),
    "cut out": View(STORED, (120, 160), corner=(20, 50), window=(70, 64)),
    "padded": View(STORED, (30, 40), window=(64, 64)),
    "mirrored, cut and padded": View(STORED, (90, 50), True, (5, 3), (88, 70)),
}


def drawn_white():
    """A picture that is white where the polygon's mask is."""
    mask = decode([encode([POLYGON], *STORED)], *STORED)[0]
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_picture_its_boxes_and_its_masks_go_the_same_way(view):
    seen = look(drawn_white(), view, (0, 0, 0))[..., 0] > 127
    assert seen.shape == view.size
    polygon, runs = draw([[POLYGON], encode([POLYGON], *STORED)], view)
    for drawn in (polygon, runs):
        assert np.logical_and(drawn, seen).sum() > 0.94 * np.logical_or(drawn, seen).sum()
    corners = np.concatenate([POLYGON.min(axis=0), POLYGON.max(axis=0)])
    box = move_boxes(corners[None], view)[0]
    np.testing.assert_allclose(box, boxes_of(seen[None].astype(np.uint8))[0], atol=2.5)
    height, width = view.size
    assert (box >= 0).all()
    assert (box <= [width, height, width, height]).all()


def test_a_mirrored_pixel_and_its_box():
    picture = np.zeros((4, 10, 3), np.uint8)
    picture[1, 2] = 255
    view = View((4, 10), (4, 10), mirrored=True)
    assert np.argwhere(look(picture, view)[..., 0]).tolist() == [[1, 7]]
    assert move_boxes(np.array([[2.0, 1, 3, 2]]), view).tolist() == [[7, 1, 8, 2]]


def test_padding_has_the_mean_colour_and_no_box_reaches_into_it():
    view = View(STORED, (30, 40), window=(64, 64))
    seen = look(np.zeros((*STORED, 3), np.uint8), view)
    assert (seen[30:] == (124, 116, 104)).all()
    assert (seen[:, 40:] == (124, 116, 104)).all()
    assert not seen[:30, :40].any()
    assert move_boxes(np.array([[0.0, 0, 80, 60]]), view).tolist() == [[0, 0, 40, 30]]


points = st.tuples(st.floats(0, 80), st.floats(0, 60))


@given(point=points, scaled=st.tuples(st.integers(20, 200), st.integers(20, 200)))
def test_mirroring_twice_is_nothing(point, scaled):
    view = View(STORED, scaled, mirrored=True)
    once = move(np.array([point]), view)
    twice = move(once, View(scaled, scaled, mirrored=True))
    np.testing.assert_allclose(twice, move(np.array([point]), View(STORED, scaled)), atol=1e-9)


def test_jitter_gives_every_scale_and_every_place():
    generator = np.random.default_rng(0)
    views = [jittered((60, 80), (100, 100), (0.1, 2.0), generator) for _ in range(400)]
    scales = np.array([view.scaled[1] / 100 for view in views])
    assert scales.min() < 0.15
    assert scales.max() > 1.95
    assert abs(scales.mean() - 1.05) < 0.1
    for view in views:
        assert view.size == (100, 100)
        rows, columns = (max(side - 100, 0) for side in view.scaled)
        assert 0 <= view.corner[0] <= rows
        assert 0 <= view.corner[1] <= columns
    places = {view.corner[1] for view in views if view.scaled[1] > 150}
    assert len(places) > 20


masks = st.integers(0, 2**30).map(
    lambda seed: (np.random.default_rng(seed).random((3, 7, 9)) < 0.1).astype(np.uint8)
)


@given(masks=masks)
def test_boxes_of_masks(masks):
    for mask, box in zip(masks, boxes_of(masks), strict=True):
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert box.tolist() == [
                columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
            ]  # fmt: skip
        else:
            assert (box[2:] <= box[:2]).any()
    assert boxes_of(masks[:0]).shape == (0, 4)


def scene(colour, *places, size=(20, 30)):
    """Squares of ten pixels; label k is the k-th."""
    masks = np.zeros((len(places), *size), np.uint8)
    for mask, (top, left) in zip(masks, places, strict=True):
        mask[top : top + 10, left : left + 10] = 1
    image = np.full((*size, 3), colour, np.uint8)
    return Scene(image, boxes_of(masks), np.arange(len(places)) + 1, masks)


def test_pasted_objects_hide_what_is_below():
    below = scene(10, (0, 0), (5, 15), (10, 0))
    source = scene(200, (0, 5), (10, 0))
    found = visible(paste(below, source))
    # The third is hidden wholly by the second that is pasted.
    assert found.labels.tolist() == [1, 2, 1, 2]
    assert found.boxes.tolist() == [
        [0, 0, 5, 10], [15, 5, 25, 15], [5, 0, 15, 10], [0, 10, 10, 20],
    ]  # fmt: skip
    assert found.masks.sum(axis=(1, 2)).tolist() == [50, 100, 100, 100]
    assert (found.masks.sum(axis=0) <= 1).all()
    pasted = source.masks.any(axis=0)
    assert (found.image[pasted] == 200).all()
    assert (found.image[~pasted] == 10).all()
    assert (below.image == 10).all(), "the scene itself is not painted over"


def test_boxes_of_what_is_not_hidden_stay_as_annotated():
    below = scene(10, (0, 0), (5, 15))._replace(boxes=np.array([[0, 0, 9.5, 9.5], [15, 5, 24, 14]]))
    found = paste(below, scene(200, (0, 5)))
    assert found.boxes[:2].tolist() == [[0, 0, 5, 10], [15, 5, 24, 14]]


@pytest.mark.parametrize("size", [(12, 40), (40, 12), (50, 50)])
def test_a_source_of_another_size_is_cut_off(size):
    found = paste(scene(10, (0, 0)), scene(200, (0, 2), size=size))
    assert found.image.shape == (20, 30, 3)
    assert found.boxes.tolist() == [[0, 0, 2, 10], [2, 0, 12, 10]]


def test_pasting_nothing_changes_nothing():
    below = scene(10, (0, 0), (5, 15))
    nothing = chosen(scene(200, (0, 0)), np.array([False]))
    for name, value in below._asdict().items():
        np.testing.assert_array_equal(getattr(paste(below, nothing), name), value)
    onto_nothing = paste(chosen(below, np.array([False, False])), scene(200, (0, 5)))
    assert onto_nothing.labels.tolist() == [1]


def test_what_cannot_be_seen_is_no_object():
    seen = scene(10, (0, 0), (5, 15), (10, 0))
    thin = seen.boxes.copy()
    thin[1, 2] = thin[1, 0] + 0.9
    assert visible(seen._replace(boxes=thin)).labels.tolist() == [1, 3]
    assert visible(seen._replace(boxes=thin, masks=None)).labels.tolist() == [1, 3]
    empty = seen.masks.copy()
    empty[0] = 0
    assert visible(seen._replace(masks=empty)).labels.tolist() == [2, 3]
    none = chosen(seen, np.zeros(3, bool))
    assert visible(none).boxes.shape == (0, 4)
