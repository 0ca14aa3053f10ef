"""Overlays, legends and their colours."""

import numpy as np

from tasks.segmentation.draw import coloured, legend, mistakes, overlay
from tasks.segmentation.palette import voc_colours

COLOURS = voc_colours()
GREY = np.full((8, 10, 3), 100, np.uint8)


def test_an_overlay_leaves_background_and_void_as_they_are():
    labels = np.zeros((8, 10), np.uint8)
    labels[:, 4:] = 1
    labels[6:] = 255
    drawn = overlay(GREY, labels, ("background", "car"), COLOURS)
    assert (drawn[:5, :3] == 100).all()
    assert (drawn[7] == 100).all()
    assert (drawn[:5, 5:9] == drawn[0, 5]).all()
    assert drawn[0, 5, 0] > 110 > drawn[0, 5, 1]
    assert (drawn[0, 3] == 255).all(), "a line between two classes"
    assert (GREY == 100).all(), "the picture itself is not drawn on"


def test_without_a_background_class_everything_is_coloured():
    drawn = overlay(GREY, np.zeros((8, 10), np.uint8), ("sky", "car"), COLOURS)
    assert (drawn < 60).all()


def test_void_is_white_and_mistakes_are_red():
    labels = np.array([[0, 1], [1, 255]], dtype=np.uint8)
    predicted = np.array([[0, 1], [0, 1]], dtype=np.uint8)
    assert coloured(labels, COLOURS).tolist() == [
        [[0, 0, 0], [128, 0, 0]], [[128, 0, 0], [255, 255, 255]],
    ]  # fmt: skip
    drawn = mistakes(np.full((2, 2, 3), 100, np.uint8), labels, predicted)
    assert drawn[1, 0].tolist() == [215, 40, 40]
    assert drawn[1, 1].tolist() == [255, 255, 255]
    assert len(set(drawn[0, 0].tolist())) == 1


def test_a_legend_shows_every_class_in_its_colour():
    names = [f"class {number}" for number in range(7)]
    strip = legend(names, [1, 4, 6], COLOURS, width=400)
    assert strip.shape[1] == 400
    for index in (1, 4, 6):
        assert (strip == COLOURS[index]).all(axis=-1).sum() > 150
    assert not (strip == COLOURS[2]).all(axis=-1).any()
    assert legend(names, range(7), COLOURS, width=400).shape[0] > strip.shape[0]
    assert legend(names, range(7), COLOURS, width=50).shape[0] > 7 * 20
