"""Features and searches of people's own pictures: what is written, and what is refused."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from common.reading import image
from common.training.distributed import World
from tasks.reid import draw, predict
from tests.tasks.reid import small


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    small.write_run(folder)
    return folder


@pytest.fixture
def market(tmp_path):
    return small.write_market(tmp_path / "market")


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, words)])
    predict.main()


def ranked(out):
    with (out / "ranked.csv").open() as file:
        return list(csv.DictReader(file))


def test_features_of_a_folder(run, market, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    run_command(monkeypatch, market / "query", "--run", run, "--out", out)
    with np.load(out / "features.npz") as content:
        paths, features = content["paths"], content["features"]
    assert [path.rsplit("/", 1)[1] for path in paths.tolist()] == sorted(
        path.name for path in (market / "query").iterdir()
    )
    assert features.dtype == np.float32
    assert features.shape == (6, 1024)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert "6 features of 1024 numbers" in capsys.readouterr().out


def test_the_default_folder_is_in_the_run(run, market, monkeypatch):
    run_command(monkeypatch, market / "query", "--run", run)
    assert (run / "predictions" / "features.npz").is_file()


def test_a_search(run, market, tmp_path, monkeypatch, capsys):
    query = market / "query" / "0012_c1s1_000000_00.jpg"
    out, gallery = tmp_path / "out", market / "bounding_box_test"
    run_command(monkeypatch, query, "--run", run, "--out", out, "--gallery", gallery, "--top", 4)
    rows = ranked(out)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["query"] for row in rows} == {str(query)}
    distances = [float(row["distance"]) for row in rows]
    assert distances == sorted(distances)
    # Pictures of a person are nearly equal, so even random weights find them first.
    assert all("/0012_" in row["picture"] for row in rows[:2])
    sheet = image.read(out / "0012_c1s1_000000_00_ranked.jpg")
    assert sheet.shape[1] > 5 * draw.CELL[1]
    assert "searched 6 pictures for 1 queries" in capsys.readouterr().out


def test_the_query_itself_is_not_found_but_its_copy_is(run, market, tmp_path, monkeypatch):
    folder = market / "bounding_box_test"
    query = folder / "0011_c1s1_000001_00.jpg"
    copy = folder / "0011_c7s1_000001_00.jpg"
    copy.write_bytes(query.read_bytes())
    out = tmp_path / "out"
    run_command(monkeypatch, query, "--run", run, "--out", out, "--gallery", folder, "--top", 50)
    rows = ranked(out)
    assert len(rows) == 6
    assert str(query) not in [row["picture"] for row in rows]
    assert rows[0]["picture"] == str(copy)
    assert float(rows[0]["distance"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("flag", ["--test.expansion", "--test.rerank"])
def test_the_query_itself_has_no_part_in_the_ranking_of_others(
    run, market, tmp_path, monkeypatch, flag
):
    folder = market / "bounding_box_test"
    query = folder / "0011_c1s1_000001_00.jpg"
    outside = tmp_path / "outside" / query.name
    outside.parent.mkdir()
    outside.write_bytes(query.read_bytes())
    words = ("--run", run, "--gallery", folder, "--top", 50, flag, 1 if "exp" in flag else "true")
    run_command(monkeypatch, query, market / "query", *words, "--out", tmp_path / "inside")
    query.unlink()
    run_command(monkeypatch, outside, *words, "--out", tmp_path / "alone")
    found = [row for row in ranked(tmp_path / "inside") if row["query"] == str(query)]
    alone = ranked(tmp_path / "alone")
    assert [row["picture"] for row in found] == [row["picture"] for row in alone]
    distances = [[float(row["distance"]) for row in rows] for rows in (found, alone)]
    assert distances[0] == pytest.approx(distances[1], abs=1e-5)


def test_a_gallery_of_the_query_alone(run, tmp_path, monkeypatch):
    query = small.save(tmp_path / "gallery" / "q.png", 3)
    words = ("--run", run, "--gallery", query.parent, "--test.expansion", 1)
    run_command(monkeypatch, query, *words, "--out", tmp_path / "out")
    assert ranked(tmp_path / "out") == []


def test_names_that_are_not_utf_8(run, tmp_path, monkeypatch):
    query = small.save(tmp_path / "q.png", 3)
    odd = tmp_path / "gallery" / "caf\udce9.png"
    small.save(tmp_path / "gallery" / "a.png", 3).rename(odd)
    words = ("--run", run, "--gallery", odd.parent, "--out", tmp_path / "out")
    run_command(monkeypatch, query, *words)
    assert b"caf\xe9.png" in (tmp_path / "out" / "ranked.csv").read_bytes()


def frames(out, query):
    """Name of each found picture -> the colour of its frame, read in its left border."""
    sheet = image.read(out / f"{query.stem}_ranked.jpg").astype(int)
    height, width = draw.CELL
    found = {}
    for row in ranked(out):
        if row["query"] == str(query):
            place = int(row["rank"])
            pixel = sheet[sheet.shape[0] - height // 2, 6 + place * (width + 6) + 2]
            colours = {"hit": draw.HIT, "miss": draw.MISS, "unknown": draw.UNKNOWN}
            name = min(colours, key=lambda name: np.abs(pixel - colours[name]).sum())
            found[Path(row["picture"]).name] = name
    return found


def test_frames_tell_hits_from_misses_where_names_tell_persons(run, tmp_path, monkeypatch):
    gallery, out = tmp_path / "gallery", tmp_path / "out"
    names = ("0001_c1_a.png", "0002_c1_b.png", "0000_c1_c.png", "-1_c1_d.png", "someone.png")
    for name in names:
        small.save(gallery / name, 5)
    queries = [small.save(tmp_path / name, 5) for name in ("0001_c3.png", "me.png", "0000_c3.png")]
    run_command(monkeypatch, *queries, "--run", run, "--out", out, "--gallery", gallery)
    known, unknown, nobody = (frames(out, query) for query in queries)
    assert [known[name] for name in names] == ["hit", "miss", "miss", "unknown", "unknown"]
    assert [unknown[name] for name in names] == ["unknown"] * 5
    assert [nobody[name] for name in names] == ["miss"] * 3 + ["unknown"] * 2


def test_a_long_list_is_broken_into_rows(run, tmp_path, monkeypatch):
    for number in range(14):
        small.save(tmp_path / "gallery" / f"{number}.png", number)
    query, out = small.save(tmp_path / "q.png", 3), tmp_path / "out"
    words = (query, "--run", run, "--out", out, "--gallery", tmp_path / "gallery", "--top", 14)
    run_command(monkeypatch, *words)
    assert image.read(out / "q_ranked.jpg").shape[0] > 2 * draw.CELL[0]
    assert len(ranked(out)) == 14


def test_freshly_generated_people(run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_command(monkeypatch, "--run", run, "--sample", 2, "--out", out, "--top", 3)
    assert len(list(out.glob("*_ranked.jpg"))) == 2
    assert len(ranked(out)) == 6


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_is_told_in_one_line(run, market, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    query = market / "query"
    words = ("--run", run, "--out", tmp_path / "out")
    assert "no picture in this folder" in refusal(monkeypatch, query, *words, "--gallery", empty)
    assert "--gallery" in refusal(monkeypatch, query, *words, "--gallery", tmp_path / "none")
    assert "--top" in refusal(monkeypatch, query, *words, "--top", 0)
    only = "pictures of one person each; name such, or folders of them"
    assert only in refusal(monkeypatch, *words, "--camera", 0)
    assert only in refusal(monkeypatch, tmp_path / "walk.mp4", *words)
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_stops_or_is_left_out(run, market, tmp_path, monkeypatch, capsys):
    folder = market / "bounding_box_test"
    damaged = folder / "0011_c1s1_000001_00.jpg"
    damaged.write_bytes(damaged.read_bytes()[:90])
    words = (market / "query", "--run", run, "--out", tmp_path / "out", "--gallery", folder)
    with pytest.raises(DamagedFile, match="0011_c1s1_000001_00"):
        run_command(monkeypatch, *words)
    run_command(monkeypatch, *words, "--resume", "--data.on_error", "skip")
    assert "1 pictures could not be read" in capsys.readouterr().out
    assert str(damaged) not in [row["picture"] for row in ranked(tmp_path / "out")]
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert "can be read" in refusal(monkeypatch, *words, "--data.on_error", "skip")
    assert "not one of the 6 pictures can be read" in refusal(
        monkeypatch, folder, "--run", run, "--out", tmp_path / "other", "--data.on_error", "skip"
    )


def test_only_the_first_rank_writes(market, tmp_path, monkeypatch):
    nothing = predict._Found([], np.empty((0, 0), dtype=np.float32))
    monkeypatch.setattr(predict, "_embed", lambda *_: nothing)
    config = predict.PredictConfig(out=tmp_path / "out")
    other, pictures = World(rank=1, size=2), sorted((market / "query").iterdir())
    predict.write_features(None, config, pictures, other)
    gallery = sorted((market / "bounding_box_test").iterdir())
    predict.search(None, config, dict.fromkeys(pictures, Path()), gallery, other)
    assert not list((tmp_path / "out").glob("*"))


def features(out):
    with np.load(out / "features.npz") as content:
        return dict(zip(content["paths"].tolist(), content["features"], strict=True))


def test_a_command_that_was_stopped_goes_on(run, market, tmp_path, monkeypatch):
    """The parts that are there stay as they are; only what is missing is embedded."""
    out, folder = tmp_path / "out", market / "query"
    pictures = sorted(folder.iterdir())
    monkeypatch.setattr(predict, "_PART", 2)
    words = (folder, "--run", run, "--out", out, "--engine.batch_size", 2)
    damaged = pictures[3].read_bytes()
    pictures[3].write_bytes(damaged[:90])
    with pytest.raises(DamagedFile, match=r"--resume --data\.on_error skip"):
        run_command(monkeypatch, *words)
    assert "go on with --resume" in refusal(monkeypatch, *words)
    (first,) = (out / "parts" / "inputs").glob("*.npz")
    before = first.stat().st_mtime_ns, first.read_bytes()
    pictures[3].write_bytes(damaged)
    pictures[0].write_bytes(b"is not read again")
    small.save(folder / "one_more.jpg", 12)
    run_command(monkeypatch, *words, "--resume")
    assert (first.stat().st_mtime_ns, first.read_bytes()) == before
    assert list(features(out)) == [str(path) for path in sorted(folder.iterdir())]
    assert len(list(first.parent.glob("*.npz"))) == 4
    with pytest.raises(DamagedFile):
        run_command(monkeypatch, *words)


def test_parts_of_another_model_are_not_taken(run, market, tmp_path, monkeypatch):
    words = (market / "query", "--run", run, "--out", tmp_path / "out")
    run_command(monkeypatch, *words)
    line = refusal(monkeypatch, *words, "--resume", "--test.feature", "before")
    assert "by another model or under other settings" in line
    # What is searched changes no feature.
    gallery = ("--gallery", market / "bounding_box_test", "--top", 3)
    run_command(monkeypatch, *words, "--resume", *gallery)
    assert len(ranked(tmp_path / "out")) == 6 * 3
    (part,) = (tmp_path / "out" / "parts" / "inputs").glob("*.npz")
    part.write_bytes(part.read_bytes()[:500])
    assert f"{part}: is damaged" in refusal(monkeypatch, *words, "--resume")


def test_parts_leave_the_features_as_they_are(run, market, tmp_path, monkeypatch):
    words = (market / "query", "--run", run, "--engine.batch_size", 2)
    run_command(monkeypatch, *words, "--out", tmp_path / "whole")
    monkeypatch.setattr(predict, "_PART", 3)
    run_command(monkeypatch, *words, "--out", tmp_path / "parts")
    whole, joined = (tmp_path / name / "features.npz" for name in ("whole", "parts"))
    assert whole.read_bytes() == joined.read_bytes()


def test_folders_within_folders(run, market, tmp_path, monkeypatch):
    out, gallery = tmp_path / "out", market / "bounding_box_test"
    words = ("--run", run, "--out", out, "--recursive")
    run_command(monkeypatch, market, *words)
    assert len(features(out)) == 24
    query = small.save(tmp_path / "people" / "hall" / "q.jpg", 12)
    run_command(monkeypatch, tmp_path / "people", *words, "--gallery", market, "--top", 2)
    assert {row["query"] for row in ranked(out)} == {str(query)}
    assert (out / "hall" / "q_ranked.jpg").is_file()
    assert gallery.is_dir()


def test_photos_are_seen_upright(run, tmp_path, monkeypatch):
    picture = small.picture(5)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / "a.png")
    turned.save(tmp_path / "in" / "b.png", exif=exif)
    run_command(monkeypatch, tmp_path / "in", "--run", run, "--out", tmp_path / "out")
    with np.load(tmp_path / "out" / "features.npz") as content:
        np.testing.assert_allclose(*content["features"], atol=1e-6)
    upright = draw.framed(tmp_path / "in" / "a.png", draw.HIT)
    np.testing.assert_array_equal(
        draw.framed(tmp_path / "in" / "b.png", draw.HIT, image.shown), upright
    )
