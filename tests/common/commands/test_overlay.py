"""Regions under colours, and the lines between them."""

import numpy as np

from common.commands.overlay import borders, overlay

GREY = np.full((4, 6, 3), 100, np.uint8)


def test_what_is_not_covered_stays_and_lines_are_white():
    regions = np.zeros((4, 6), np.int32)
    regions[:, 3:] = 70_000
    covered = np.where(regions > 0, 255, 0).astype(np.uint8)
    painted = np.full((4, 6, 3), 200, np.uint8)
    drawn = overlay(GREY, painted, covered, regions)
    assert (drawn[:, :2] == 100).all() and (drawn[:, 2] == 255).all()
    assert (drawn[:, 3:] == 155).all()  # 45 % of the picture, 55 % of the colour
    assert (GREY == 100).all()


def test_a_border_is_the_pixel_before_another_number():
    regions = np.array([[1, 1, 2], [1, 1, 1], [3, 1, 1]])
    assert borders(regions).tolist() == [
        [False, True, True], [True, False, False], [True, False, False],
    ]  # fmt: skip
