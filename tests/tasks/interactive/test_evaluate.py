"""What evaluate leaves: the card's protocol and data, the curve, and the random robot."""

import json

import numpy as np
import pytest

from common.errors import UserError
from tasks.interactive import check, evaluate
from tasks.interactive.sample import write
from tests.tasks.commands import call
from tests.tasks.interactive import small


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    root = small.write_voc(folder / "voc", train=2, val=2)
    small.write_run(folder / "run", root)
    return folder, root


def card(run, out, *words):
    small_words = ("--loader.workers", "0", "--test.clicks", "3")
    call(evaluate.main, "--run", run, "--out", out, *small_words, *words)
    return json.loads((out / "metrics.json").read_text())


def test_the_card_says_how_it_was_scored(scored, tmp_path, capsys):
    folder, _ = scored
    found = card(folder / "run", tmp_path)
    assert list(found["metrics"]) == ["NoC80", "NoC85", "NoC90", "failures85", "failures90"]
    assert "exact squared distances" in found["protocol"]["robot"]
    assert (found["protocol"]["clicks"], found["protocol"]["structural"]) == (3, False)
    data = found["data"]
    assert (data["objects"], data["images"], data["format"]) == (4, 2, "voc")
    assert len(data["mIoU_after_clicks"]) == 3
    assert data["baselines"]["disc around each click"]["NoC80"] <= 3
    for name in ("clicks.png", "masks.jpg"):
        assert (tmp_path / "pictures" / name).stat().st_size
    assert json.loads((tmp_path / "seconds.json").read_text())["click"] > 0
    assert "disc around each click" in capsys.readouterr().out


def test_protocols_are_told_apart_and_the_random_robot_repeats(scored, tmp_path):
    folder, _ = scored
    words = ("--test.place", "random", "--test.structural", "true")
    first = card(folder / "run", tmp_path / "one", *words)
    again = card(folder / "run", tmp_path / "two", *words)
    assert first["protocol"]["structural"] and "random" in first["protocol"]["robot"]
    assert first["metrics"] == again["metrics"]
    assert first["data"] == again["data"]


def test_a_set_of_another_kind_is_scored(scored, tmp_path, capsys):
    folder, _ = scored
    small.save(tmp_path / "cut" / "data_GT" / "a.png", small.picture(1))
    mask = np.where(small.objects() == 1, 255, 0).astype(np.uint8)
    small.save(tmp_path / "cut" / "boundary_GT" / "a.png", mask)
    words = ("--data.val_root", tmp_path / "cut", "--data.val_format", "grabcut")
    found = card(folder / "run", tmp_path / "out", *words)
    assert (found["data"]["objects"], found["data"]["format"]) == (1, "grabcut")
    assert found["data"]["root"] == str(tmp_path / "cut")


def test_a_training_set_that_holds_sbds_val_is_not_scored_there(scored, tmp_path):
    folder, _ = scored
    words = ("--data.train_split", "trainaug", "--data.val_format", "sbd")
    with pytest.raises(UserError, match="holds SBD's val") as caught:
        card(folder / "run", tmp_path, *words)
    assert "\n" not in str(caught.value)


def test_the_check_counts_objects(tmp_path, capsys):
    write(tmp_path / "set", train=6, val=2)
    empty = tmp_path / "set" / "JPEGImages" / "000002.jpg"
    empty.write_bytes(empty.read_bytes()[:500])
    words = ("--data.root", tmp_path / "set", "--out", tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        call(check.main, *words)
    assert ended.value.code == 1
    assert "000002.jpg" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        call(check.main, *words, "--data.on_error", "skip", "--engine.batch_size", 4)
    found = json.loads((tmp_path / "out" / "check" / "check.json").read_text())
    assert ended.value.code == 0 and found
