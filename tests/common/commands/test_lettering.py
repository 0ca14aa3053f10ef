"""Names on pictures, of any letters and any length."""

import numpy as np
import pytest

from common.commands import lettering, plot
from tasks.classification import draw as classification
from tasks.detection import draw as detection
from tasks.segmentation import draw as segmentation
from tasks.segmentation.palette import voc_colours

NAMES = ["猫", "кот", "γάτα", "חתול", "고양이", "ねこ", "çédille"]


def on_a_sheet(name):
    return plot.grid([np.zeros((8, 8, 3), np.uint8)], 1, [name])


def on_a_legend(name):
    return segmentation.legend([name], [0], voc_colours(), 250)


def on_a_box(name):
    box = detection.Drawn((5, 40, 300, 200), 1, name)
    return detection.draw_objects(np.zeros((240, 320, 3), np.uint8), [box])


def beside_bars(name):
    guess = classification.Guess(name, 0.5)
    picture = np.zeros((8, 8, 3), np.uint8)
    return classification.row([classification.Panel(name, picture, [guess])])


DRAWINGS = [on_a_sheet, on_a_legend, on_a_box, beside_bars]


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("name", NAMES)
def test_letters_of_any_script_are_drawn(draw, name):
    assert (draw(name) != draw("?" * len(name))).any()
    assert (draw(name) != draw(name[:-1] + "x")).any()


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_file_name_that_is_no_text_is_drawn(draw):
    assert (draw("a\udcffb") == draw("a?b")).all()


@pytest.mark.parametrize("name", ["a rather long name of a class, longer than all", "猫" * 40])
def test_what_has_no_room_ends_with_dots(name):
    shown = lettering.fitted(name, 0.45, 150)
    assert shown.endswith("..")
    assert name.startswith(shown[:-2])
    assert 120 < lettering.extent(shown, 0.45).width <= 150
    assert lettering.fitted("short", 0.45, 150) == "short"
