"""Skeletons where they belong, in the colours of their sides."""

import numpy as np
import pytest

from tasks.pose.draw import CENTRE, LEFT, RIGHT, colour_of, draw_people, line_width
from tasks.pose.skeleton import COCO, MPII

GREY = np.full((200, 300, 3), 128, dtype=np.uint8)
NAMES = {name: index for index, name in enumerate(COCO.names)}


def person(**places):
    """Joints (1, 17, 3); those that are not named have score 0."""
    joints = np.zeros((1, 17, 3))
    for name, (x, y) in places.items():
        joints[0, NAMES[name]] = x, y, 0.9
    return joints


def test_limbs_and_joints_have_the_colour_of_their_side():
    people = person(
        left_shoulder=(200, 40),
        left_elbow=(200, 120),
        right_shoulder=(100, 40),
        right_elbow=(100, 120),
    )
    drawn = draw_people(GREY, people, COCO)
    assert tuple(drawn[80, 200]) == LEFT
    assert tuple(drawn[80, 100]) == RIGHT
    assert tuple(drawn[40, 150]) == CENTRE
    assert tuple(drawn[120, 200]) == LEFT
    assert tuple(drawn[120, 100]) == RIGHT


def test_only_the_neighbourhood_of_the_skeleton_changes_and_not_the_input():
    before = GREY.copy()
    drawn = draw_people(GREY, person(left_shoulder=(200, 40), left_elbow=(200, 120)), COCO)
    assert np.array_equal(GREY, before)
    rows, columns = np.nonzero((drawn != GREY).any(axis=2))
    assert 30 < rows.min() < 40 < 120 < rows.max() < 130
    assert 190 < columns.min() < 200 < columns.max() < 210


def test_joints_at_or_below_the_threshold_are_left_out_with_their_limbs():
    people = person(left_shoulder=(200, 40), left_elbow=(200, 120))
    people[0, NAMES["left_elbow"], 2] = 0.2
    drawn = draw_people(GREY, people, COCO, threshold=0.2)
    assert (drawn[80:] == GREY[80:]).all()
    assert tuple(drawn[40, 200]) == LEFT
    assert np.array_equal(draw_people(GREY, np.zeros((3, 17, 3)), COCO), GREY)


def test_uncertain_joints_fade():
    people = person(nose=(100, 100))
    people[0, NAMES["nose"], 2] = 0.3
    faint = draw_people(GREY, people, COCO)[100, 100].astype(int)
    assert abs(faint - 128).sum() > 10
    assert abs(faint - CENTRE).sum() > 10


@pytest.mark.parametrize("place", [(-50, -50), (0, 0), (299, 199), (1e6, 50), (np.nan, 5)])
def test_joints_outside_or_at_the_edge_do_no_harm(place):
    people = person(nose=(150, 100), left_eye=place)
    drawn = draw_people(GREY, people, COCO)
    assert drawn.shape == GREY.shape
    assert tuple(drawn[100, 150]) == CENTRE


def test_lines_are_smooth():
    drawn = draw_people(GREY, person(left_shoulder=(40, 40), left_elbow=(260, 150)), COCO)
    shades = np.unique(drawn[..., 2][drawn[..., 2] != 128])
    assert len(shades) > 10


def test_lines_scale_with_the_person():
    small, large = np.array([[0, 0], [30, 40]]), np.array([[0, 0], [600, 800]])
    assert line_width(small) == 1.5
    assert line_width(large) == pytest.approx(14)


def test_mpii_joints_have_sides_too():
    assert [colour_of(name) for name in MPII.names] == (
        [RIGHT] * 3 + [LEFT] * 3 + [CENTRE] * 4 + [RIGHT] * 3 + [LEFT] * 3
    )
