import json

import cv2
import numpy as np

from common.commands import plot


def test_curves_are_drawn_from_a_log(tmp_path):
    lines = [{"step": i, "epoch": 0, "samples": i, "loss": 1 / (i + 1), "learning_rate": 0.1,
              "heatmap": 1 / (i + 1)} for i in range(5)]  # fmt: skip
    lines.append({"epoch": 1, "metrics": {"AP": 0.5}})
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plot.curves(log, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[0] > 200
    assert picture.std() > 5  # something is drawn


def test_lines_are_drawn(tmp_path):
    plot.lines(tmp_path / "a.png", {"one": ([0, 1], [0, 1]), "two": ([0, 1], [1, 0])}, "x", "y")
    assert cv2.imread(str(tmp_path / "a.png")).std() > 5


def test_curves_of_a_log_without_epochs_or_steps(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    plot.curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_a_sheet_keeps_order_and_shape(tmp_path):
    red, blue = np.zeros((2, 40, 80, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    plot.sheet([red, blue, red], tmp_path / "sheet.png", columns=2, cell=(64, 64))
    picture = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    assert picture.shape == (2 * 70 + 6, 2 * 70 + 6, 3)
    centre_of = {(row, column): picture[6 + row * 70 + 32, 6 + column * 70 + 32]
                 for row in range(2) for column in range(2)}  # fmt: skip
    assert list(centre_of[0, 0]) == [200, 0, 0]
    assert list(centre_of[0, 1]) == [0, 0, 200]
    assert list(centre_of[1, 0]) == [200, 0, 0]
    assert list(centre_of[1, 1]) == [255, 255, 255]
    # A 2:1 picture in a square cell leaves grey bands above and below.
    assert list(picture[6 + 4, 6 + 32]) == [238, 238, 238]


def test_titles_are_written_above_the_pictures(tmp_path):
    picture = np.full((32, 32, 3), 100, np.uint8)
    plot.sheet([picture], tmp_path / "sheet.png", columns=1, titles=["AP 0.7"], cell=(64, 64))
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] == 64 + 22 + 2 * 6
    assert sheet[6:28].min() < 150  # dark letters on white


def test_a_grid_is_what_a_sheet_writes(tmp_path):
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8))
    titles = ["one", "two", "three"]
    plot.sheet(pictures, tmp_path / "sheet.png", columns=2, titles=titles)
    grid = plot.grid(pictures, columns=2, titles=titles)
    assert np.array_equal(cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1], grid)


def test_what_is_drawn_is_spread_over_all():
    assert plot.spread(0, 6) == []
    assert plot.spread(3, 6) == [0, 1, 2]
    assert plot.spread(600, 6) == [0, 100, 200, 300, 400, 500]


def test_below_whole_numbers_stand_whole_numbers(tmp_path, monkeypatch):
    charts, figure = [], plot.figure
    monkeypatch.setattr(plot, "figure", lambda *size: charts.append(figure(*size)) or charts[-1])
    for number, x in enumerate((np.arange(1, 4), np.array([1.0, 2, 3]))):
        plot.lines(tmp_path / "a.png", {"one": (x, [0, 1, 2])}, "x", "y")
        ticks = charts[number].axes[0].get_xticks()
        assert (ticks == ticks.round()).all() == (number == 0)
