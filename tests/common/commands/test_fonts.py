"""Charts with names of any script: no warnings, and a font that has them where one is there."""

import json
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from common.commands import fonts, plot
from tasks.segmentation import report
from tasks.speaker.figures import det_curve
from tasks.speaker.metrics import equal_errors, operating_points

NAMES = ["背景", "мяч", "กล่อง", "\udcff.jpg", "cost $ and $ more", "plain"]


def confusion(path, names):
    report.draw_confusion(path, np.eye(len(names), dtype=np.int64), names)


def lines(path, names):
    plot.lines(path, {name: ([0, 1], [0, 1]) for name in names}, "x", "y")


def curves(path, names):
    log = path.with_suffix(".jsonl")
    log.write_text(json.dumps({"epoch": 0, "metrics": dict.fromkeys(names, 0.5)}) + "\n")
    plot.curves(log, path)


def trade_off(path, names):
    points = operating_points(np.array([0.1, 0.9, 0.4]), np.array([False, True, True]))
    det_curve(path, {name: (points, equal_errors(points)) for name in names})


@pytest.mark.parametrize("draw", [confusion, lines, curves, trade_off])
def test_charts_have_any_name_without_a_warning(tmp_path, draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / "chart.png", NAMES)
    assert (tmp_path / "chart.png").stat().st_size > 0


def install(monkeypatch, folder, family, letters):
    """A font of the system that has these letters, each a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(corner)
    pen.closePath()
    glyph = pen.glyph()
    names = [".notdef", *(f"letter{number}" for number in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(one): names[at + 1] for at, one in enumerate(letters)})
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(folder / f"{family}.ttf")
    known = font_manager.fontManager.ttflist
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(known))
    font_manager.fontManager.addfont(folder / f"{family}.ttf")


def test_an_installed_font_that_has_the_letters_is_taken(tmp_path, monkeypatch):
    with fonts.having(["背景", "球"]) as names:
        assert names == ["0", "1"]
    install(monkeypatch, tmp_path, "Squares Sans", "背景")
    with fonts.having(["背景", "球", "ball"]) as names:
        assert names == ["背景", "1", "ball"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lines(tmp_path / "chart.png", ["背景"])


def test_fonts_are_as_before_behind_a_chart():
    before = font_manager.FontProperties().get_family()
    with fonts.having(["背景"]):
        pass
    assert font_manager.FontProperties().get_family() == before
